//! A portal: Standard Webhooks in both directions.

mod answer;
mod connector;
pub mod hook;
mod message;
pub mod place;
pub mod signature;

pub use connector::{Alarm, Calls, OpenError, Portal};

#[cfg(test)]
pub(crate) mod tests {
    pub(crate) const MANIFEST: &str = "\
syncline: 1
tenant: acme
sides:
  crm: { connector: none }
  portal:
    connector: portal
    deliver_to: http://127.0.0.1:9/hooks
    credentials: { webhook_secret: env:SECRET }
records:
  contact:
    sides: { crm: contacts, portal: customer }
    fields:
      email:      { type: email, crm: email, portal: email }
      first_name: { type: string, crm: firstname, portal: firstName }
      last_name:  { type: string, crm: lastname, portal: lastName }
      phone:      { type: string, crm: phone, portal: phone }
      born:       { type: date, crm: born, portal: { name: born, dates: epoch_ms } }
      company:    { type: reference, to: company, crm: company, portal: companyId }
  company:
    sides: { crm: companies, portal: organisation }
    fields:
      name: { type: string, crm: name, portal: name }
";
}
