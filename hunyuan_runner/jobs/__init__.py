"""Jobs: the durable record of every clip asked for, and the worker that renders them."""
