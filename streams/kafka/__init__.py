"""The only package that constructs Kafka clients and patches them."""
