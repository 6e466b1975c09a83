"""A trained model and a recording become one signal for each speaker."""
