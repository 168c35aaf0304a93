"""What policy, mapping and routing files share: YAML with positions, problems with line numbers, scalar types."""
