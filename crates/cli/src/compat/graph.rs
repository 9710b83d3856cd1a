//! `nix-store --query --graph` and `--graphml`: closures as graphs, in the very words of Nix.

use std::collections::BTreeSet;

use picnix_store_core::{PathInfo, StorePath};

use super::Stop;

/// What draws a graph.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    /// For Graphviz.
    Dot,
    /// XML.
    GraphMl,
}

/// The colours of Nix's edges, in turn.
const COLORS: [&str; 6] = ["black", "red", "green", "blue", "magenta", "burlywood"];
const GRAPHML_HEAD: &str = "<?xml version='1.0' encoding='utf-8'?>
<graphml xmlns='http://graphml.graphdrawing.org/xmlns'
    xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'
    xsi:schemaLocation='http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd'>
<key id='narSize' for='node' attr.name='narSize' attr.type='long'/>\
<key id='name' for='node' attr.name='name' attr.type='string'/>\
<key id='type' for='node' attr.name='type' attr.type='string'/>\
<graph id='G' edgedefault='directed'>
";

/// Draws what paths refer to; `info` is what is known of a path.
pub(super) fn draw(
    language: Language,
    roots: BTreeSet<StorePath>,
    info: impl Fn(&StorePath) -> Result<PathInfo, Stop>,
) -> Result<String, Stop> {
    let mut out = match language {
        Language::Dot => "digraph G {\n".to_owned(),
        Language::GraphMl => GRAPHML_HEAD.to_owned(),
    };
    let mut colors = COLORS.iter().cycle();
    let (mut work, mut done) = (roots, BTreeSet::new());
    while let Some(path) = work.pop_first() {
        if !done.insert(path.clone()) {
            continue;
        }
        let info = info(&path)?;
        out.push_str(&node(language, &path, &info));
        for reference in info.references.iter().filter(|reference| **reference != path) {
            out.push_str(&match language {
                Language::Dot => {
                    let color = colors.next().unwrap_or(&COLORS[0]);
                    format!("\"{reference}\" -> \"{path}\" [color = \"{color}\"];\n")
                }
                Language::GraphMl => {
                    format!("  <edge source=\"{path}\" target=\"{reference}\"/>\n")
                }
            });
            work.insert(reference.clone());
        }
    }
    out.push_str(match language {
        Language::Dot => "}\n",
        Language::GraphMl => "</graph>\n</graphml>\n",
    });
    Ok(out)
}

fn node(language: Language, path: &StorePath, info: &PathInfo) -> String {
    let name = path.name();
    match language {
        Language::Dot => format!(
            "\"{path}\" [label = \"{name}\", shape = box, style = filled, fillcolor = \"#ff0000\"];\n"
        ),
        Language::GraphMl => {
            // Nix means what follows the first dash, and takes what comes before it.
            let name = name.find('-').map_or("", |dash| &name[..=dash]);
            let kind = if path.is_derivation() { "derivation" } else { "output-path" };
            format!(
                "  <node id=\"{path}\">\n    <data key=\"narSize\">{}</data>\n    <data \
                 key=\"name\">{name}</data>\n    <data key=\"type\">{kind}</data>\n  </node>\n",
                info.nar_size
            )
        }
    }
}
