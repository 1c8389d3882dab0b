"""Echo servers with one defect each, at or next to the line marked `# BUG`."""
