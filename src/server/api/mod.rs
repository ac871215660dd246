//! The API for portal programs: `/v1/...`, in JSON, with problem documents for everything that goes wrong.
//!
//! Every handler asks the history or the engine for its caller's principal and only gives the answer its form; what a
//! caller may see or do is decided there. The OpenAPI document at `/v1/openapi.json` is made from the handlers.

mod changes;
mod conflicts;
mod edits;
mod feed;
mod form;
pub(super) mod query;
mod records;
mod status;

use axum::Json;
use utoipa::{
    IntoResponses,
    openapi::{
        ContentBuilder, InfoBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder, ServerBuilder,
        ServerVariableBuilder,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::form::{AuthorBody, FieldBody, RecordBody, SideBody, SideState};
use super::{
    Server,
    problem::{Fault, KINDS, ProblemBody},
};

pub(super) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new()
        .routes(routes!(feed::changes, changes::post))
        .routes(routes!(records::list))
        .routes(routes!(records::get))
        .routes(routes!(records::history))
        .routes(routes!(records::why))
        .routes(routes!(conflicts::decide))
        .routes(routes!(conflicts::list))
        .routes(routes!(status::status))
        .routes(routes!(status::parked))
        .routes(routes!(openapi))
}

/// This document
#[utoipa::path(get, path = "/v1/openapi.json", tag = "operation", responses(
    (status = 200, description = "The OpenAPI document.", content_type = "application/json", body = serde_json::Value)
))]
async fn openapi() -> Json<OpenApi> {
    Json(Server::openapi())
}

/// The problems that any address may answer with.
pub(super) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> std::collections::BTreeMap<String, RefOr<Response>> {
        let mut statuses: Vec<u16> = KINDS.iter().map(|kind| kind.status).filter(|status| *status != 405).collect();
        statuses.sort_unstable();
        statuses.dedup();
        let response = |status: u16| {
            let meant = KINDS.iter().filter(|kind| kind.status == status);
            let told: Vec<String> = meant.map(|kind| format!("{} (`/problems/{}`)", kind.title, kind.name)).collect();
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            let built = ResponseBuilder::new().description(told.join(" ")).content("application/problem+json", content);
            (status.to_string(), RefOr::T(built.build()))
        };
        statuses.into_iter().map(response).collect()
    }
}

/// The document with what handlers do not say: what it is, where it is, how callers show who they are.
pub(super) fn described(mut api: OpenApi) -> OpenApi {
    api.info = InfoBuilder::new()
        .title("Syncline")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Records that several systems agree on: read them, change them, follow them, and ask why they are as they are.",
        ))
        .build();
    let tenant = ServerVariableBuilder::new().default_value("tenant").description(Some("The tenant's name."));
    api.servers = Some(vec![
        ServerBuilder::new().url("/").description(Some("A service of one tenant.")).build(),
        ServerBuilder::new()
            .url("/t/{tenant}")
            .description(Some(
                "A service of several tenants; hooks of apps and the addresses of operation have no prefix.",
            ))
            .parameter("tenant", tenant)
            .build(),
    ]);
    let components = api.components.get_or_insert_with(Default::default);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token made by `syncline token create`."))
        .build();
    components.security_schemes.insert("bearer".to_owned(), SecurityScheme::Http(bearer));
    components.schemas.insert("Problem".to_owned(), <ProblemBody as utoipa::PartialSchema>::schema());
    components.schemas.insert("Fault".to_owned(), <Fault as utoipa::PartialSchema>::schema());
    api
}
