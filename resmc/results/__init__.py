"""From sums to estimates: numbers with errors, laws, and the file of a simulation."""
