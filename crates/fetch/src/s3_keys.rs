//! Where the keys of S3 are: in the environment, or in the files of Amazon's tools, which have them by profile.
//!
//! As in Nix the keys of the environment come first, whatever profile is named. The files are read when the first
//! object of S3 is asked for. Profiles that have to ask for their keys (`role_arn`, `sso_session`,
//! `credential_process`) are not understood; what they say is an error where they are needed.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The profile of those who name none.
const DEFAULT_PROFILE: &str = "default";

/// What S3 knows its users by.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Keys {
    /// The name of the key.
    pub id: String,
    /// The key itself.
    pub secret: String,
    /// Of a key that was lent: by whom.
    pub session: Option<String>,
}

impl std::fmt::Debug for S3Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("S3Keys").field(&self.id).finish()
    }
}

/// What a caller has to show to S3.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3Access {
    /// The keys of the environment, for everything.
    pub keys: Option<S3Keys>,
    /// The profile of URLs that name none.
    pub profile: Option<String>,
    /// The file with the keys of profiles, which need not be there.
    pub credentials_file: Option<PathBuf>,
    /// The file with the settings of profiles, which may have keys, too, and need not be there.
    pub config_file: Option<PathBuf>,
}

impl S3Access {
    /// What the usual variables say: `AWS_ACCESS_KEY_ID` and its kin, `AWS_PROFILE`,
    /// `AWS_SHARED_CREDENTIALS_FILE`, `AWS_CONFIG_FILE`, and `HOME` for the places of these.
    #[must_use]
    pub fn from_lookup(lookup: &dyn Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let keys = || {
            Some(S3Keys {
                id: get("AWS_ACCESS_KEY_ID")?,
                secret: get("AWS_SECRET_ACCESS_KEY")?,
                session: get("AWS_SESSION_TOKEN"),
            })
        };
        let file = |name: &str, usual: &str| {
            let below_home =
                || get("HOME").map(|home| PathBuf::from(home).join(".aws").join(usual));
            get(name).map(PathBuf::from).or_else(below_home)
        };
        Self {
            keys: keys(),
            profile: get("AWS_PROFILE"),
            credentials_file: file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
            config_file: file("AWS_CONFIG_FILE", "config"),
        }
    }

    /// The keys for URLs of a profile; none where nobody has any, as public buckets want none.
    ///
    /// # Errors
    /// A profile was named that has no keys, or a file cannot be read.
    pub(crate) fn keys_of(
        &self,
        profile: Option<&str>,
        read: &OnceLock<Result<Profiles, String>>,
    ) -> Result<Option<S3Keys>, String> {
        if let Some(keys) = &self.keys {
            return Ok(Some(keys.clone()));
        }
        let profiles = read.get_or_init(|| self.read_files()).as_ref()?;
        let named = profile.or(self.profile.as_deref());
        let keys = profiles.keys(named.unwrap_or(DEFAULT_PROFILE));
        match named {
            Some(name) if keys.is_none() && name != DEFAULT_PROFILE => {
                Err(self.without_keys(name))
            }
            _ => Ok(keys),
        }
    }

    fn without_keys(&self, profile: &str) -> String {
        let files = [&self.credentials_file, &self.config_file];
        let files: Vec<String> = files
            .into_iter()
            .flatten()
            .map(|path| format!("'{}'", path.display()))
            .collect();
        format!(
            "the profile '{profile}' has no keys ('aws_access_key_id' and 'aws_secret_access_key') in {}",
            if files.is_empty() { "any file".to_owned() } else { files.join(" or ") }
        )
    }

    fn read_files(&self) -> Result<Profiles, String> {
        let read = |path: &Option<PathBuf>| {
            let Some(path) = path else { return Ok(String::new()) };
            match std::fs::read_to_string(path) {
                Ok(text) => Ok(text),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
                Err(error) => Err(format!("cannot read '{}': {error}", path.display())),
            }
        };
        Ok(Profiles::parse(&read(&self.credentials_file)?, &read(&self.config_file)?))
    }
}

/// What files say of profiles: settings by profile.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Profiles(BTreeMap<String, BTreeMap<String, String>>);

impl Profiles {
    /// Reads the texts of both files. What the file of keys says wins.
    fn parse(credentials: &str, config: &str) -> Self {
        let mut profiles = Self::default();
        let in_config = |section: &str| match section.strip_prefix("profile ") {
            Some(name) => Some(name.trim().to_owned()),
            None => (section == DEFAULT_PROFILE).then(|| section.to_owned()),
        };
        profiles.add(config, in_config);
        profiles.add(credentials, |section| Some(section.to_owned()));
        profiles
    }

    fn add(&mut self, text: &str, profile_of: impl Fn(&str) -> Option<String>) {
        let mut current = None;
        for line in text.lines() {
            // An indented line belongs to the setting before it, none of which is a key.
            if line.starts_with([' ', '\t', '#', ';']) || line.trim().is_empty() {
                continue;
            }
            if let Some(section) = line.trim_end().strip_prefix('[') {
                let name = section.split(']').next().unwrap_or_default().trim();
                current = profile_of(name);
            } else if let (Some(profile), Some((name, value))) =
                (&current, line.split_once('='))
            {
                let settings = self.0.entry(profile.clone()).or_default();
                settings.insert(
                    name.trim().to_ascii_lowercase(),
                    without_comment(value).to_owned(),
                );
            }
        }
    }

    fn keys(&self, profile: &str) -> Option<S3Keys> {
        let settings = self.0.get(profile)?;
        let get = |name: &str| settings.get(name).filter(|value| !value.is_empty());
        Some(S3Keys {
            id: get("aws_access_key_id")?.clone(),
            secret: get("aws_secret_access_key")?.clone(),
            session: get("aws_session_token").cloned(),
        })
    }
}

/// A value without what follows ` #` or ` ;`.
fn without_comment(value: &str) -> &str {
    let ends = [" #", " ;", "\t#", "\t;"].iter().filter_map(|mark| value.find(mark));
    value[..ends.min().unwrap_or(value.len())].trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "# keys\n[default]\naws_access_key_id = D\n\
        aws_secret_access_key=ds/+==\n\n[cache-upload]\nAWS_ACCESS_KEY_ID = U # mine\n\
        aws_secret_access_key = us\naws_session_token = ut\n[half]\naws_access_key_id = H\n";
    const CONFIG: &str = "[default]\nregion = eu-1\n[profile cache-upload]\n\
        aws_access_key_id = other\ns3 =\n  aws_access_key_id = nested\n[profile role]\n\
        role_arn = arn:aws:iam::1:role/x\n[profile set]\naws_access_key_id = S\n\
        aws_secret_access_key = ss\n[cache-upload]\naws_session_token = no\n";

    fn access(files: &tempfile::TempDir) -> S3Access {
        let file = |name: &str, text: &str| {
            let path = files.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().map(str::to_owned)
        };
        S3Access::from_lookup(&|name| match name {
            "AWS_SHARED_CREDENTIALS_FILE" => file("keys", CREDENTIALS),
            "AWS_CONFIG_FILE" => file("config", CONFIG),
            _ => None,
        })
    }

    fn ids(access: &S3Access, profile: Option<&str>) -> Result<Option<String>, String> {
        let keys = access.keys_of(profile, &OnceLock::new())?;
        Ok(keys.map(|keys| format!("{} {} {:?}", keys.id, keys.secret, keys.session)))
    }

    #[test]
    fn profiles_have_keys() {
        let files = tempfile::tempdir().unwrap();
        let access = access(&files);
        let found = |profile| ids(&access, profile).unwrap().unwrap();
        assert_eq!(found(None), "D ds/+== None");
        assert_eq!(found(Some("cache-upload")), "U us Some(\"ut\")");
        assert_eq!(found(Some("set")), "S ss None");
        for without in ["half", "role", "absent"] {
            let error = ids(&access, Some(without)).unwrap_err();
            assert!(error.contains(&format!("the profile '{without}' has no keys")));
            assert!(error.contains("/keys' or '"), "{error}");
        }
        let named = S3Access { profile: Some("set".into()), ..access };
        assert_eq!(ids(&named, None).unwrap().unwrap(), "S ss None");
        assert_eq!(ids(&named, Some("default")).unwrap().unwrap(), "D ds/+== None");
    }

    #[test]
    fn the_environment_comes_first_and_files_may_be_absent() {
        let lookup = |name: &str| match name {
            "AWS_ACCESS_KEY_ID" => Some("E".to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some("es".to_owned()),
            "HOME" => Some("/nowhere".to_owned()),
            _ => None,
        };
        let access = S3Access::from_lookup(&lookup);
        assert_eq!(access.config_file, Some("/nowhere/.aws/config".into()));
        assert_eq!(ids(&access, Some("absent")).unwrap().unwrap(), "E es None");
        let without = S3Access { keys: None, ..access };
        assert_eq!(ids(&without, None), Ok(None));
        assert_eq!(ids(&without, Some("default")), Ok(None));
        ids(&without, Some("absent")).unwrap_err();
        let unreadable = S3Access { config_file: Some("/dev".into()), ..without };
        assert!(ids(&unreadable, None).unwrap_err().contains("cannot read '/dev'"));
    }
}
