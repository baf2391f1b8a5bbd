//! PromQL: syntax tree with positions, parser, printer.
