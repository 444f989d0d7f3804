"""The log on Apache Kafka, through raw aiokafka. No transactions, no consumer groups."""

from folkmoot.bus.kafka.log import KafkaLog

__all__ = ["KafkaLog"]
