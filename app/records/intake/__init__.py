"""What all bulk writes share: reading rows one by one or all at once, refusing single rows, counting the outcome."""
