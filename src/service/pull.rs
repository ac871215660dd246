//! What a live CRM has that does not fit the manifest: looked at before going live, and never changed.

use std::{collections::HashMap, sync::Arc};

use serde::Serialize;
use tokio::sync::Notify;

use super::{
    dialects::open_hubspot,
    marks::Marks,
    reach::{Context, ReachError},
    reader::kinds_on,
    wants::Wants,
};
use crate::{
    engine::Engine,
    id::SideName,
    manifest::{Connector, Manifest},
    side::{
        Links, Sighting, Source, SourceError,
        hubspot::{
            breach::{Breach, Count},
            property::{self, Finding},
        },
        translate::Translation,
    },
};

/// What was found.
#[derive(Debug, Default, Serialize)]
pub struct Pulled {
    /// Properties that do not fit.
    pub findings: Vec<Finding>,
    /// Rules of the manifest that present records break.
    pub breaches: Vec<Breach>,
    /// How many records were looked at.
    pub records: u64,
}

/// Why it could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// There is no such side, or it has no properties to pull.
    #[error("side {0} is no HubSpot account of the manifest")]
    NotHubspot(String),
    /// It cannot be reached as the manifest says.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// It could not be asked.
    #[error("cannot look at {kind}")]
    Source {
        /// The record kind.
        kind: String,
        /// Why.
        #[source]
        source: SourceError,
    },
    /// How far sides were read is not readable.
    #[error(transparent)]
    Marks(#[from] super::MarksError),
}

/// Compares what a HubSpot account has with a manifest; `told` hears how many records were looked at.
///
/// # Errors
/// If the account cannot be reached, or refuses.
pub async fn pull(
    engine: &Engine,
    store: &std::path::Path,
    manifest: &Arc<Manifest>,
    side: &SideName,
    told: impl Fn(u64),
) -> Result<Pulled, PullError> {
    if manifest.side(side).is_none_or(|side| side.connector != Connector::Hubspot) {
        return Err(PullError::NotHubspot(side.to_string()));
    }
    let links: Arc<dyn Links> = Arc::new(engine.clone());
    let wants = Wants::new(Arc::new(Marks::open(store)?), side.clone(), Arc::new(Notify::new()));
    let account = open_hubspot(&Context { manifest, side, engine, links: &links, wants: &wants, metrics: None })?;
    let translation = Translation::new(manifest.clone(), side.clone(), links.clone());
    let mut pulled = Pulled::default();
    for kind in kinds_on(manifest, side) {
        let failed = |source| PullError::Source { kind: kind.clone(), source };
        let properties = match patiently(|| account.properties(&kind)).await {
            Err(SourceError::NotOffered) => None,
            definitions => definitions.map_err(failed)?,
        };
        pulled.findings.extend(property::diagnose(&translation, &kind, properties.as_deref()));
        if properties.is_none() {
            continue;
        }
        let mut count = Count::of(&translation, &kind);
        let mut cursor: Option<String> = None;
        loop {
            let page = patiently(|| account.list(&kind, cursor.as_deref())).await.map_err(failed)?;
            page.records.iter().for_each(|sighting| look(&translation, &kind, sighting, &mut count));
            told(pulled.records + count.records());
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        pulled.records += count.records();
        pulled.breaches.extend(count.breaches());
    }
    Ok(pulled)
}

/// Counts what a record breaks, by the texts that HubSpot shows of it.
fn look(translation: &Translation, kind: &str, sighting: &Sighting, count: &mut Count<'_>) {
    let text = |shown: &crate::send::SeenField| {
        let theirs = translation.name_of(kind, &shown.field)?.to_owned();
        // A value that does not fit came in as it was, and goes back so.
        let said = translation.say_text(kind, &shown.field, &shown.value);
        let text = said.unwrap_or_else(|_| shown.value.to_string());
        (!text.is_empty()).then_some((theirs, text))
    };
    let texts: HashMap<String, String> = sighting.seen.fields.iter().filter_map(text).collect();
    count.add(&sighting.link, |theirs| texts.get(theirs).map(String::as_str));
}

/// Asks again as long as the side asks for patience, within reason.
async fn patiently<T, F: Future<Output = Result<T, SourceError>>>(ask: impl Fn() -> F) -> Result<T, SourceError> {
    for tries in 0..6u32 {
        match ask().await {
            Err(SourceError::RetryAfter(wait)) => {
                let wait = wait.clamp(500 << tries, 60_000);
                tokio::time::sleep(std::time::Duration::from_millis(wait.unsigned_abs())).await;
            }
            answer => return answer,
        }
    }
    ask().await
}
