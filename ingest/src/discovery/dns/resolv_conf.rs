//! `/etc/resolv.conf`: which servers to ask, and for which permutations of a name.

/// What of the file matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResolvConf {
    /// Addresses of servers.
    pub(super) servers: Vec<String>,
    /// Domains to append.
    search: Vec<String>,
    /// A name with more labels than this is tried as it is first.
    ndots: usize,
}

impl ResolvConf {
    /// Reads the file. Lines that mean nothing are passed over.
    pub(super) fn parse(text: &str) -> Self {
        let mut config = Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
        };
        for line in text.lines() {
            if line.starts_with(['#', ';']) {
                continue;
            }
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => config.servers.extend(words.next().map(str::to_owned)),
                Some("domain") => {
                    if let Some(domain) = words.next() {
                        config.search = vec![domain.to_owned()];
                    }
                }
                Some("search") => config.search = words.map(str::to_owned).collect(),
                Some("options") => {
                    let ndots = words.filter_map(|word| word.strip_prefix("ndots:"));
                    if let Some(ndots) = ndots.filter_map(|n| n.parse::<i64>().ok()).next_back() {
                        config.ndots = usize::try_from(ndots.clamp(0, 15)).unwrap_or(1);
                    }
                }
                _ => {}
            }
        }
        config
    }

    /// The fully qualified names that a name may stand for, in the order in which they are tried.
    pub(super) fn name_list(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let labels = name.split('.').filter(|label| !label.is_empty()).count();
        let as_it_is = format!("{name}.");
        let searched = self.search.iter().map(|domain| {
            let domain = domain.trim_end_matches('.');
            match domain {
                "" => as_it_is.clone(),
                domain => format!("{name}.{domain}."),
            }
        });
        let mut names: Vec<_> = searched.collect();
        if labels > self.ndots {
            names.insert(0, as_it_is);
        } else {
            names.push(as_it_is);
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_domains_and_options_are_read() {
        let config = ResolvConf::parse(
            "# comment\n; another\nnameserver 10.0.0.1\nnameserver\t::1 # x\ndomain ignored.org\nsearch a.org b.org.\noptions timeout:1 ndots:2\nsortlist x\n",
        );
        assert_eq!(config.servers, ["10.0.0.1", "::1"]);
        assert_eq!(
            config.name_list("x.y"),
            ["x.y.a.org.", "x.y.b.org.", "x.y."]
        );
        assert_eq!(
            config.name_list("x.y.z"),
            ["x.y.z.", "x.y.z.a.org.", "x.y.z.b.org."]
        );
        assert_eq!(config.name_list("x."), ["x."]);
        let config = ResolvConf::parse("domain d\noptions ndots:99\n");
        assert_eq!(
            (config.ndots, config.name_list("x")),
            (15, vec!["x.d.".to_owned(), "x.".to_owned()])
        );
        assert_eq!(ResolvConf::parse("").name_list("x"), ["x."]);
    }
}
