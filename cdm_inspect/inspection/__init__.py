"""Judging parts, without torch: inspector, recorder, folder watch, outbox, HTTP."""
