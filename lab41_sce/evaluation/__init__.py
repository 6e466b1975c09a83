"""Systems and evaluation sets become scores with intervals."""
