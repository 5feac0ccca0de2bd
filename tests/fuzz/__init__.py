"""Readers of foreign bytes as functions from bytes to nothing: for hypothesis in the suite, for atheris by hand."""
