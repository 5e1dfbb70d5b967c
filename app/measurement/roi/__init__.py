"""What initiatives were worth: their gain by the best evidence there is, against what they cost."""
