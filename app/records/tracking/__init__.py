"""What tracking clients send by Segment's HTTP protocol, translated into customers, events and transactions."""
