"""Plants wrong labels among real images and asks every method for a ranking; counts, times and looks besides."""
