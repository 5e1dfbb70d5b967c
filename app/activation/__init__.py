"""What to do with what is known: handing out segments to whoever acts on them."""
