//! Forges: places that give a commit of a Git repository as a tarball.
//!
//! Each is a few URLs with holes: one that tells the commit of a branch, one that gives the tarball.

use picnix_eval::flake::{Input, Scheme};
use serde_json::Value as Json;

use crate::Error;

/// One forge's URLs for one repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Forge {
    scheme: Scheme,
    host: String,
    owner: String,
    repo: String,
}

impl Forge {
    /// The forge of an input, if it has one.
    pub(super) fn of(input: &Input) -> Result<Option<Self>, Error> {
        let (scheme, host) = match input.scheme {
            Some(scheme @ Scheme::GitHub) => (scheme, "github.com"),
            Some(scheme @ Scheme::GitLab) => (scheme, "gitlab.com"),
            Some(scheme @ Scheme::SourceHut) => (scheme, "git.sr.ht"),
            _ => return Ok(None),
        };
        Ok(Some(Self {
            scheme,
            host: input.text("host").unwrap_or(host).to_owned(),
            owner: input.required("owner")?,
            repo: input.required("repo")?,
        }))
    }

    /// The URL of a commit's tarball.
    pub(super) fn tarball_url(&self, rev: &str) -> String {
        let Self { scheme, host, owner, repo } = self;
        match scheme {
            Scheme::GitHub if host == "github.com" => {
                format!("https://{host}/{owner}/{repo}/archive/{rev}.tar.gz")
            }
            Scheme::GitHub => {
                format!("https://{host}/api/v3/repos/{owner}/{repo}/tarball/{rev}")
            }
            Scheme::GitLab => format!(
                "https://{host}/api/v4/projects/{owner}%2F{repo}/repository/archive.tar.gz?sha={rev}"
            ),
            _ => format!("https://{host}/{owner}/{repo}/archive/{rev}.tar.gz"),
        }
    }

    /// The URL of the answer in which [`Self::find_rev`] finds the commit of a branch.
    pub(super) fn rev_url(&self, branch: &str) -> String {
        let Self { scheme, host, owner, repo } = self;
        match scheme {
            Scheme::GitHub if host == "github.com" => {
                format!("https://api.{host}/repos/{owner}/{repo}/commits/{branch}")
            }
            Scheme::GitHub => {
                format!("https://{host}/api/v3/repos/{owner}/{repo}/commits/{branch}")
            }
            Scheme::GitLab => format!(
                "https://{host}/api/v4/projects/{owner}%2F{repo}/repository/commits?ref_name={branch}"
            ),
            _ => format!("https://{host}/{owner}/{repo}/info/refs"),
        }
    }

    /// Where the name of the default branch is, for a forge whose answer does not resolve `HEAD`.
    pub(super) fn head_url(&self) -> Option<String> {
        let Self { host, owner, repo, .. } = self;
        (self.scheme == Scheme::SourceHut)
            .then(|| format!("https://{host}/{owner}/{repo}/HEAD"))
    }

    /// The commit in an answer. `branch` is a ref such as `refs/heads/x`, or a branch or tag.
    pub(super) fn find_rev(&self, answer: &[u8], branch: &str) -> Result<String, Error> {
        let fail = |reason: &str| {
            let what = format!("{}:{}/{}", self.scheme.name(), self.owner, self.repo);
            Err(Error::CannotFetch { what, reason: reason.to_owned() })
        };
        if self.scheme == Scheme::SourceHut {
            return match find_ref(&String::from_utf8_lossy(answer), branch) {
                Some(rev) => Ok(rev),
                None => fail(&format!("couldn't find ref '{branch}'")),
            };
        }
        let Ok(json) = serde_json::from_slice::<Json>(answer) else {
            return fail("the forge's answer is no JSON");
        };
        let rev = match self.scheme {
            Scheme::GitHub => json.get("sha"),
            _ => json.get(0).and_then(|commit| commit.get("id")),
        };
        match rev.and_then(Json::as_str) {
            Some(rev) if picnix_eval::flake::is_rev(rev) => Ok(rev.to_owned()),
            _ if json.as_array().is_some_and(Vec::is_empty) => fail(
                "No commits returned by GitLab API -- does the git ref really exist?",
            ),
            _ => fail("the forge's answer names no commit"),
        }
    }
}

/// The target of a line `ref: refs/heads/x`.
pub(super) fn head_target(answer: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(answer);
    let target = text.lines().next()?.strip_prefix("ref:")?.trim();
    Some(target.to_owned())
}

/// The commit of a ref in a list of lines `<commit> <ref>`.
fn find_ref(list: &str, branch: &str) -> Option<String> {
    list.lines().find_map(|line| {
        let (rev, name) = line.split_once(char::is_whitespace)?;
        let short =
            name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/"));
        (name == branch || short == Some(branch)).then(|| rev.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use picnix_eval::flake::{FlakeRef, RefForm};

    fn forge(text: &str) -> Forge {
        let found = FlakeRef::parse(text, RefForm::ABSOLUTE).unwrap();
        Forge::of(&found.input).unwrap().unwrap()
    }

    #[test]
    fn tarballs_have_the_urls_that_nix_asks() {
        assert_eq!(
            forge("github:a/b").tarball_url("r"),
            "https://github.com/a/b/archive/r.tar.gz"
        );
        assert_eq!(
            forge("github:a/b?host=x.org").tarball_url("r"),
            "https://x.org/api/v3/repos/a/b/tarball/r"
        );
        assert_eq!(
            forge("gitlab:a/b").tarball_url("r"),
            "https://gitlab.com/api/v4/projects/a%2Fb/repository/archive.tar.gz?sha=r"
        );
        assert_eq!(
            forge("sourcehut:~a/b").tarball_url("r"),
            "https://git.sr.ht/~a/b/archive/r.tar.gz"
        );
    }

    #[test]
    fn commits_are_found_in_answers() {
        let rev = "0123456789012345678901234567890123456789";
        let github = format!("{{\"sha\":\"{rev}\"}}");
        let github = forge("github:a/b").find_rev(github.as_bytes(), "x");
        assert_eq!(github.unwrap(), rev);
        let gitlab = format!("[{{\"id\":\"{rev}\"}}]");
        let gitlab = forge("gitlab:a/b").find_rev(gitlab.as_bytes(), "x");
        assert_eq!(gitlab.unwrap(), rev);
        assert!(forge("gitlab:a/b").find_rev(b"[]", "x").is_err());
        assert!(forge("github:a/b").find_rev(b"{\"sha\":\"../x\"}", "x").is_err());
        let refs = format!("{rev}\trefs/heads/main\n");
        let hut = forge("sourcehut:~a/b");
        assert_eq!(hut.find_rev(refs.as_bytes(), "main").unwrap(), rev);
        assert_eq!(hut.find_rev(refs.as_bytes(), "refs/heads/main").unwrap(), rev);
        assert!(hut.find_rev(refs.as_bytes(), "mai").is_err());
        assert_eq!(head_target(b"ref: refs/heads/main\n").unwrap(), "refs/heads/main");
    }
}
