"""What crosses the wire: the envelope, the log's records, the topics and subjects, and keys."""
