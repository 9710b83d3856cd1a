//! URLs of objects in S3, signed (AWS signature version 4, in the query of the URL).
//!
//! A signature in the URL needs no header and says nothing of the contents, so everything else here works as
//! with any server. A caller writes `s3+https://REGION@HOST/PATH` (or `s3+http`), with `;PROFILE` after the region
//! where a profile is named; without keys the URL is used unsigned, as public buckets want it. What is signed is described in Amazon's "Authenticating
//! Requests: Using Query Parameters".

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use picnix_store_core::Sha256;
use picnix_store_core::encoding::date_digits;

use crate::s3_keys::S3Keys;

/// How long a signed URL is good for: longer than any one download.
const EXPIRES_SECONDS: u64 = 12 * 3600;
/// The block size of SHA-256, for the keyed hash.
const BLOCK_LEN: usize = 64;
/// Hours, minutes and seconds.
const TIME_DIGITS: usize = 6;

/// A URL as a server is asked for it: one of S3 is signed for the method, any other is left as it is.
///
/// # Errors
/// `keys_of`, which is told the profile, finds none where there should be some.
pub(crate) fn resolve<'u>(
    url: &'u str,
    method: &str,
    keys_of: impl FnOnce(Option<&str>) -> Result<Option<S3Keys>, String>,
) -> Result<Cow<'u, str>, String> {
    let Some(place) = Place::parse(url) else { return Ok(Cow::Borrowed(url)) };
    let now =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    Ok(Cow::Owned(match keys_of(place.profile)? {
        Some(keys) => place.sign(method, &keys, now, EXPIRES_SECONDS),
        None => place.unsigned(),
    }))
}

/// The parts of a URL.
struct Place<'u> {
    scheme: &'u str,
    region: &'u str,
    profile: Option<&'u str>,
    host: &'u str,
    path: String,
}

impl<'u> Place<'u> {
    fn parse(url: &'u str) -> Option<Self> {
        let (scheme, rest) = url.strip_prefix("s3+")?.split_once("://")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = authority.split_once('@')?;
        let (region, profile) = match user.split_once(';') {
            Some((region, profile)) => (region, Some(profile)),
            None => (user, None),
        };
        let parts: Vec<String> = path.split('/').map(encode).collect();
        Some(Self {
            scheme,
            region,
            profile,
            host,
            path: format!("/{}", parts.join("/")),
        })
    }

    fn unsigned(&self) -> String {
        format!("{}://{}{}", self.scheme, self.host, self.path)
    }

    fn sign(&self, method: &str, keys: &S3Keys, now: u64, expires: u64) -> String {
        let digits = date_digits(now);
        let (day, time) = digits.split_at(digits.len() - TIME_DIGITS);
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let stamp = format!("{day}T{time}Z");
        let mut query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={stamp}\
             &X-Amz-Expires={expires}",
            encode(&format!("{}/{scope}", keys.id))
        );
        if let Some(session) = &keys.session {
            query += &format!("&X-Amz-Security-Token={}", encode(session));
        }
        query += "&X-Amz-SignedHeaders=host";
        let request = format!(
            "{method}\n{}\n{query}\nhost:{}\n\nhost\nUNSIGNED-PAYLOAD",
            self.path, self.host
        );
        let digest = Sha256::of(request.as_bytes()).base16();
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}");
        let secret = format!("AWS4{}", keys.secret);
        let key = [day, self.region, "s3", "aws4_request"]
            .iter()
            .fold(secret.into_bytes(), |key, part| keyed_hash(&key, part).0.to_vec());
        let signature = keyed_hash(&key, &text).base16();
        format!("{}?{query}&X-Amz-Signature={signature}", self.unsigned())
    }
}

/// HMAC (RFC 2104) with SHA-256.
fn keyed_hash(key: &[u8], text: &str) -> Sha256 {
    let mut block = [0; BLOCK_LEN];
    match key.len() > BLOCK_LEN {
        true => block[..32].copy_from_slice(&Sha256::of(key).0),
        false => block[..key.len()].copy_from_slice(key),
    }
    let padded = |pad: u8, rest: &[u8]| {
        let mut bytes: Vec<u8> = block.iter().map(|byte| byte ^ pad).collect();
        bytes.extend_from_slice(rest);
        Sha256::of(&bytes)
    };
    padded(0x5c, &padded(0x36, text.as_bytes()).0)
}

/// Percent signs for all but what a URL may always hold (RFC 3986, section 2.3).
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            other => out += &format!("%{other:02X}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> S3Keys {
        S3Keys {
            id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            session: None,
        }
    }

    /// The example of Amazon's description.
    #[test]
    fn the_signature_is_the_one_of_the_description() {
        let place =
            Place::parse("s3+https://us-east-1@examplebucket.s3.amazonaws.com/test.txt");
        let url = place.unwrap().sign("GET", &keys(), 1_369_353_600, 86_400);
        assert_eq!(
            url,
            "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
             &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    #[test]
    fn other_urls_and_callers_without_keys_sign_nothing() {
        let with = |url: &str, method: &str, keys: Option<S3Keys>| {
            resolve(url, method, |_| Ok(keys)).unwrap().into_owned()
        };
        assert_eq!(with("https://a/b", "GET", Some(keys())), "https://a/b");
        let url = "s3+http://r@host:9000/bucket/a b";
        assert_eq!(with(url, "GET", None), "http://host:9000/bucket/a%20b");
        let signed = with(url, "PUT", Some(keys()));
        assert_ne!(signed, with(url, "GET", Some(keys())));
        let lent = S3Keys { session: Some("to+ken".into()), ..keys() };
        assert!(with(url, "GET", Some(lent)).contains("X-Amz-Security-Token=to%2Bken&"));
    }

    #[test]
    fn a_profile_is_told_to_who_has_the_keys() {
        let named = resolve("s3+http://r;some@host/a", "GET", |profile| {
            assert_eq!(profile, Some("some"));
            Ok(Some(keys()))
        });
        assert!(named.unwrap().contains("%2Fr%2Fs3%2Faws4_request&"));
        let without = resolve("s3+http://r@host/a", "GET", |profile| {
            assert_eq!(profile, None);
            Err("no keys".to_owned())
        });
        assert_eq!(without.unwrap_err(), "no keys");
    }
}
