"""Inspection, repair and export of run folders."""
