//! Long queries over several lines, as `promtool promql format` and `format_query` lay them out.
//!
//! A node whose canonical text fits into a line stays as it is. Else its children go on lines of their own, one level
//! deeper; a binary operator stands between its operands.

use crate::ast::Expr;

/// Longest text of a node that is not split, in bytes.
const LINE_BYTES_MAX: usize = 100;

impl Expr {
    /// The canonical text, laid out over several lines where it is long.
    pub fn prettify(&self) -> String {
        self.pretty(0)
    }

    fn pretty(&self, level: usize) -> String {
        let indent = "  ".repeat(level);
        let line = self.to_string();
        if line.len() <= LINE_BYTES_MAX {
            // Prometheus does not indent these.
            return if matches!(self, Expr::Subquery(_)) {
                line
            } else {
                indent + &line
            };
        }
        match self {
            Expr::NumberLiteral(_)
            | Expr::StringLiteral(_)
            | Expr::VectorSelector(_)
            | Expr::MatrixSelector(_) => indent + &line,
            Expr::Subquery(node) => node.expr.pretty(level) + &node.time_suffix().to_string(),
            Expr::Call(node) => {
                let args: Vec<String> = node.args.iter().map(|arg| arg.pretty(level + 1)).collect();
                format!(
                    "{indent}{}(\n{}\n{indent})",
                    node.function.name,
                    args.join(",\n")
                )
            }
            Expr::Aggregate(node) => {
                let param = node
                    .param
                    .as_ref()
                    .map(|param| param.pretty(level + 1) + ",\n")
                    .unwrap_or_default();
                let expr = node.expr.pretty(level + 1);
                format!("{indent}{}(\n{param}{expr}\n{indent})", node.head())
            }
            Expr::Binary(node) => {
                let (lhs, rhs) = (node.lhs.pretty(level + 1), node.rhs.pretty(level + 1));
                format!("{lhs}\n{indent}{}\n{rhs}", node.operator())
            }
            Expr::Unary(node) => {
                let expr = node.expr.pretty(level);
                format!("{indent}{}{}", node.op.as_str(), expr.trim())
            }
            Expr::Paren(node) => format!("{indent}(\n{}\n{indent})", node.expr.pretty(level + 1)),
        }
    }
}
