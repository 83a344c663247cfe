"""What a person looks at: pictures, overlays, tables, reports."""
