"""Scores, histories and signals become tables, figures and pages."""
