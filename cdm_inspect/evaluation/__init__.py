"""Figures of merit on labelled parts, with intervals and paired tests."""
