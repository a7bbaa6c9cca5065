"""What the prediction API answers, one file a subject."""
