"""What people see of a run: live progress, notebooks, the report, metrics and traces."""
