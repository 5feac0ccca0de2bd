"""The wires: requests out, answers in. Each alone knows its service's paths and fields.

Status words, and what else answers have in common, are in `answers.py`.
"""
