"""Functions that generated code calls where no single function of torch does what is meant, and does it well."""
