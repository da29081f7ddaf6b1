"""`phasemill doctor`: whether a run can start here, and how long it would take."""
