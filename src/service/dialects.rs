//! The dialects that this build speaks: from a manifest's side to what it is reached with.

use std::sync::Arc;

use super::{
    hooks::{HubSpotHook, PortalHook},
    reach::{ClockReading, Context, Dialects, Gauge, QuotaLeft, Reach, ReachError},
};
use crate::{
    clock::Millis,
    manifest::{Connector, Side},
    send::quota::Window,
    server::Hook,
    side::{
        hubspot::{self, Credential, HubSpot, signature::Verifier},
        portal::{Portal, signature::Keys},
        secret,
        translate::Translation,
    },
};

/// Reaches HubSpot accounts and portals over the network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Network;

impl Dialects for Network {
    fn reach(&self, context: &Context<'_>) -> Result<Reach, ReachError> {
        let Some(side) = context.manifest.side(context.side) else { return Ok(Reach::default()) };
        match side.connector {
            Connector::Hubspot => hubspot(context, side),
            Connector::Portal => portal(context, side),
            Connector::None | Connector::InProcess => Ok(Reach::default()),
        }
    }
}

fn translation(context: &Context<'_>) -> Translation {
    Translation::new(context.manifest.clone(), context.side.clone(), context.links.clone())
}

/// An error with its causes, for a person: none of them holds a secret.
fn told(side: &Side, error: &dyn std::error::Error) -> ReachError {
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        why.push_str(": ");
        why.push_str(&inner.to_string());
        cause = inner.source();
    }
    ReachError { side: side.name.clone(), why }
}

/// Opens a HubSpot account as the manifest says.
///
/// # Errors
/// If its token cannot be had, or its address is none.
pub fn open_hubspot(context: &Context<'_>) -> Result<HubSpot, ReachError> {
    let no_side = || ReachError { side: context.side.clone(), why: "the manifest has no such side".to_owned() };
    let side = context.manifest.side(context.side).ok_or_else(no_side)?;
    let no_token = || ReachError { side: side.name.clone(), why: "it has no token".to_owned() };
    let place = side.credentials.token.as_ref().ok_or_else(no_token)?;
    let token = secret::read(place).map_err(|why| told(side, &why))?;
    let (links, clock) = (context.links.clone(), context.engine.clock());
    let mut setting = hubspot::Setting::new(translation(context), links, Credential::Fixed(token), clock);
    setting.metrics = context.metrics.cloned();
    HubSpot::new(setting).map_err(|why| told(side, &why))
}

fn hubspot(context: &Context<'_>, side: &Side) -> Result<Reach, ReachError> {
    let account = Arc::new(open_hubspot(context)?);
    let hook = match side.capture.webhooks {
        true => {
            let secrets = secret::read_all(&side.credentials.webhook_secret).map_err(|why| told(side, &why))?;
            let hook = HubSpotHook::new(translation(context), side, Verifier::new(secrets), context.wants.clone());
            Some(Arc::new(hook) as Arc<dyn Hook>)
        }
        false => None,
    };
    Ok(Reach { connector: Some(account.clone()), source: Some(account.clone()), gauge: Some(account), hook })
}

fn portal(context: &Context<'_>, side: &Side) -> Result<Reach, ReachError> {
    let clock = context.engine.clock();
    let portal = Portal::open(side, translation(context), clock).map_err(|why| told(side, &why))?;
    let portal = Arc::new(match context.metrics {
        Some(metrics) => portal.counted(metrics.clone()),
        None => portal,
    });
    let hook = match side.capture.webhooks {
        true => {
            let secrets = secret::read_all(&side.credentials.webhook_secret).map_err(|why| told(side, &why))?;
            let keys = Keys::new(&secrets).map_err(|why| told(side, &why))?;
            Some(Arc::new(PortalHook::new(translation(context), keys)) as Arc<dyn Hook>)
        }
        false => None,
    };
    Ok(Reach { connector: Some(portal.clone()), source: Some(portal.clone()), gauge: Some(portal), hook })
}

/// A reading that may be further off than this says nothing yet, in milliseconds.
const CLOCK_TOLERANCE_MS: i64 = 1_500;

impl Gauge for HubSpot {
    fn clock(&self) -> Option<ClockReading> {
        let offset = self.offset();
        offset.tolerance().filter(|off| *off <= CLOCK_TOLERANCE_MS)?;
        Some(ClockReading { at: offset.at()?, ahead: offset.estimate()? })
    }

    fn quota(&self) -> Vec<QuotaLeft> {
        let name = |window| match window {
            Window::Second => "second",
            Window::TenSeconds => "ten_seconds",
            Window::Day => "day",
            Window::Search => "search",
        };
        let windows = HubSpot::quota(self).windows.into_iter();
        let left = windows.filter_map(|count| {
            Some(QuotaLeft { window: name(count.window), most: count.limit?, left: count.remaining? })
        });
        left.collect()
    }

    fn trouble(&self) -> Option<(String, Millis)> {
        let since = self.unauthorized_since()?;
        Some(("HubSpot does not accept our token".to_owned(), since))
    }
}

impl Gauge for Portal {
    fn clock(&self) -> Option<ClockReading> {
        self.ahead().map(|(at, ahead)| ClockReading { at, ahead })
    }

    fn trouble(&self) -> Option<(String, Millis)> {
        self.alarm().map(|(alarm, since)| (alarm.to_string(), since))
    }
}
