"""Jobs that are asked for in one process and carried out in others: the queue, who waits for it, and the workers."""
