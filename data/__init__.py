"""Where images come from: sources, built-in samples, quality measures, splits and tf.Example."""
