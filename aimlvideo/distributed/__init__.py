"""Many machines on one job list and one account: any worker may die."""
