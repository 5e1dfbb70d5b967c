"""Who will leave: probabilities that are learned, judged out of time, served with reasons and with what is at stake."""
