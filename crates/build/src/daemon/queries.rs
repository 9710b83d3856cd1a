//! Operations that only look.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Read, Write};

use picnix_store_core::worker::{Operation, WireWriter};
use picnix_store_core::{DIGEST_CHARS, OutputName, StorePath};

use super::session::{Context, Refusal, Session, Wire};
use crate::cache::Offer;
use crate::observer::{Event, Observer};

impl<R: Read, W: Write + Send> Session<'_, R, W> {
    /// The operations whose question is one path.
    pub(super) fn query_path(&mut self, operation: Operation) -> Wire<()> {
        let path = self.reader.path()?;
        match operation {
            Operation::IsValidPath => {
                self.ctx.answer(|s| Ok(s.store.is_valid(&path)?), WireWriter::flag)
            }
            Operation::QueryReferrers => self.ctx.answer(
                |s| Ok(s.store.query_referrers(&path)?),
                |w, paths| w.paths(&paths),
            ),
            Operation::QueryValidDerivers => {
                let work = |s: &Context<'_, W>| {
                    let deriver =
                        s.store.query_path_info(&path)?.and_then(|info| info.deriver);
                    Ok(s.store.valid_among(&deriver)?)
                };
                self.ctx.answer(work, |writer, paths| writer.paths(&paths))
            }
            Operation::QueryDeriver => self.ctx.answer(
                |s| Ok(s.store.path_info(&path)?.deriver),
                |writer, deriver| writer.optional_path(deriver.as_ref()),
            ),
            Operation::QueryPathInfo => {
                let write = |writer: &mut WireWriter<_>, info: Option<_>| {
                    writer.flag(info.is_some())?;
                    info.map_or(Ok(()), |info| writer.path_info_of(&info))
                };
                self.ctx.answer(|s| Ok(s.store.query_path_info(&path)?), write)
            }
            _ => self.query_outputs(operation, &path),
        }
    }

    fn query_outputs(&mut self, operation: Operation, drv_path: &StorePath) -> Wire<()> {
        let write =
            |writer: &mut WireWriter<BufWriter<W>>,
             outputs: BTreeMap<OutputName, Option<StorePath>>| {
                let paths: BTreeSet<StorePath> =
                    outputs.values().flatten().cloned().collect();
                match operation {
                    Operation::QueryDerivationOutputs => writer.paths(&paths),
                    Operation::QueryDerivationOutputNames => {
                        writer.strings(outputs.keys().map(OutputName::as_str))
                    }
                    _ => {
                        writer.count(outputs.len())?;
                        outputs.iter().try_for_each(|(name, path)| {
                            writer.text(name.as_str())?;
                            writer.optional_path(path.as_ref())
                        })
                    }
                }
            };
        self.ctx.answer(|s| Ok(s.store.derivation_outputs(drv_path)?), write)
    }

    pub(super) fn query_digest(&mut self) -> Wire<()> {
        let digest = self.reader.bytes()?;
        let work = |s: &Context<'_, W>| {
            let digest: &[u8; DIGEST_CHARS] =
                digest.as_slice().try_into().map_err(|_| {
                    Refusal("the hash part of a path has 32 characters".to_owned())
                })?;
            Ok(s.store.path_from_digest(digest)?)
        };
        self.ctx.answer(work, |writer, path| writer.optional_path(path.as_ref()))
    }

    pub(super) fn query_all(&mut self) -> Wire<()> {
        self.ctx
            .answer(|s| Ok(s.store.valid_paths()?), |writer, paths| writer.paths(&paths))
    }

    pub(super) fn query_valid_paths(&mut self) -> Wire<()> {
        let paths = self.reader.paths()?;
        let substitute = self.reader.version().has(27) && self.reader.flag()?;
        let work = |s: &Context<'_, W>| {
            // In this order, so that what is valid stays so.
            s.store.add_temp_roots(&paths)?;
            let valid = s.store.valid_among(&paths)?;
            let missing: BTreeSet<StorePath> =
                paths.difference(&valid).cloned().collect();
            let offered = if substitute { s.offered(&missing)? } else { BTreeMap::new() };
            if offered.is_empty() {
                return Ok(valid);
            }
            // What a cache cannot deliver is not valid; the client copies it then.
            if let Err(error) = s.builder().copy(&offered.into_keys().collect()) {
                let message = error.to_string();
                s.tunnel.event(&Event::Warning { message: &message });
            }
            Ok(s.store.valid_among(&paths)?)
        };
        self.ctx.answer(work, |writer, paths| writer.paths(&paths))
    }

    pub(super) fn query_substitutable(&mut self) -> Wire<()> {
        let paths = self.reader.paths()?;
        let work = |s: &Context<'_, W>| s.offered(&paths);
        self.ctx.answer(work, |writer, offers| writer.paths(offers.keys()))
    }

    pub(super) fn query_substitutable_info(&mut self) -> Wire<()> {
        let path = self.reader.path()?;
        let work = |s: &Context<'_, W>| s.offered(&[path.clone()].into());
        self.ctx.answer(work, |writer, offers| {
            writer.count(offers.len())?;
            offers.values().try_for_each(|offer| write_offer(writer, offer))
        })
    }

    pub(super) fn query_substitutable_infos(&mut self) -> Wire<()> {
        let paths = if self.reader.version().has(22) {
            let mut paths = BTreeSet::new();
            for _ in 0..self.reader.count()? {
                paths.insert(self.reader.path()?);
                // Its content address, which helps caches for other store directories.
                self.reader.bytes()?;
            }
            paths
        } else {
            self.reader.paths()?
        };
        let work = |s: &Context<'_, W>| s.offered(&paths);
        self.ctx.answer(work, |writer, offers| {
            writer.count(offers.len())?;
            offers.iter().try_for_each(|(path, offer)| {
                writer.path(path)?;
                write_offer(writer, offer)
            })
        })
    }

    pub(super) fn query_missing(&mut self) -> Wire<()> {
        let wanted = self.reader.wanted_paths()?;
        let work = |s: &Context<'_, W>| {
            let (targets, paths) = super::building::split(&wanted);
            let plan = s.builder().plan(&targets)?;
            let valid = s.store.valid_among(&paths)?;
            let missing: BTreeSet<StorePath> =
                paths.difference(&valid).cloned().collect();
            let offers = s.offered(&missing)?;
            Ok((plan, missing, offers))
        };
        self.ctx.answer(work, |writer, (plan, missing, offers)| {
            let built: BTreeSet<&StorePath> =
                plan.steps.iter().map(|step| &step.drv_path).collect();
            let mut copied = offers;
            for copy in plan.copies {
                copied.insert(copy.offer.info.path.clone(), copy.offer);
            }
            writer.paths(built)?;
            writer.paths(copied.keys())?;
            let unknown: Vec<&StorePath> =
                missing.iter().filter(|path| !copied.contains_key(*path)).collect();
            writer.paths(unknown)?;
            writer
                .number(copied.values().filter_map(|offer| offer.download_bytes).sum())?;
            writer.number(copied.values().map(|offer| offer.info.nar_size).sum())
        })
    }

    /// What a content-addressed output became: nothing is known, and nothing is noted.
    pub(super) fn realisation(&mut self, operation: Operation) -> Wire<()> {
        let is_query = operation == Operation::QueryRealisation;
        self.reader.bytes()?;
        if !is_query && !self.reader.version().has(31) {
            self.reader.bytes()?;
        }
        let work = |_: &Context<'_, W>| match is_query {
            true => Ok(()),
            false => Err(Refusal("content-addressed outputs are not supported".into())),
        };
        self.ctx.answer(work, |writer, ()| writer.count(0))
    }

    pub(super) fn find_roots(&mut self) -> Wire<()> {
        self.ctx.answer(
            |s| Ok(s.store.roots()?),
            |writer, roots| {
                writer.count(roots.len())?;
                roots.iter().try_for_each(|root| {
                    writer.text(&root.keeper)?;
                    writer.path(&root.path)
                })
            },
        )
    }

    pub(super) fn nar_from_path(&mut self) -> Wire<()> {
        let path = self.reader.path()?;
        let Context { store, tunnel, .. } = &self.ctx;
        tunnel.open();
        if let Err(error) = store.path_info(&path) {
            return tunnel.close(Some(error.to_string()));
        }
        tunnel.close(None)?;
        let dumped = tunnel.write(|writer| Ok(store.dump(&path, writer.sink())))?;
        // In the middle of a NAR nothing can be said any more.
        dumped.map_err(|error| std::io::Error::other(error).into())
    }
}

impl<W: Write + Send> Context<'_, W> {
    /// What caches have of some paths, complete with closures.
    fn offered(
        &self,
        paths: &BTreeSet<StorePath>,
    ) -> Result<BTreeMap<StorePath, std::sync::Arc<Offer>>, Refusal> {
        let Some(substituters) = self.substituters().filter(|_| !paths.is_empty()) else {
            return Ok(BTreeMap::new());
        };
        let warn = |message: &str| self.tunnel.event(&Event::Warning { message });
        let mut offers = substituters.offers_of_paths(self.store, paths, &warn)?;
        offers.retain(|path, _| paths.contains(path));
        Ok(offers)
    }
}

fn write_offer<W: Write>(
    writer: &mut WireWriter<BufWriter<W>>,
    offer: &Offer,
) -> Wire<()> {
    writer.optional_path(offer.info.deriver.as_ref())?;
    writer.paths(&offer.info.references)?;
    writer.number(offer.download_bytes.unwrap_or(0))?;
    writer.number(offer.info.nar_size)
}
