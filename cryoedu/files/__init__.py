"""Formats on disk: MRC and STAR files in and out, and files that are never half written. Knows no particle."""
