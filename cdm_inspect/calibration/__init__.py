"""p-values, guarantees, costs, thresholds and what-if; which calibration is in force."""
