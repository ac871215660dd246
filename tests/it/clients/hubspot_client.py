"""Talks to a pretend HubSpot account through HubSpot's own client, which judges every answer.

Usage: hubspot_client.py URL SECRET. Ends with 0 if all is as HubSpot has it.
"""

import http.server
import json
import queue
import sys
import threading
import urllib.request

from hubspot import HubSpot
from hubspot.crm.associations.v4 import (
    AssociationSpec,
    BatchInputPublicAssociationMultiArchive,
    BatchInputPublicAssociationMultiPost,
    BatchInputPublicFetchAssociationsBatchRequest,
    PublicAssociationMultiArchive,
    PublicAssociationMultiPost,
    PublicFetchAssociationsBatchRequest,
)
from hubspot.crm.contacts import ApiException
from hubspot.crm.objects import (
    BatchInputSimplePublicObjectBatchInput,
    BatchInputSimplePublicObjectBatchInputForCreate,
    BatchInputSimplePublicObjectBatchInputUpsert,
    BatchInputSimplePublicObjectId,
    BatchReadInputSimplePublicObjectId,
    Filter,
    FilterGroup,
    PublicObjectSearchRequest,
    SimplePublicObjectBatchInput,
    SimplePublicObjectBatchInputForCreate,
    SimplePublicObjectBatchInputUpsert,
    SimplePublicObjectId,
    SimplePublicObjectInput,
    SimplePublicObjectInputForCreate,
)
from hubspot.crm.contacts import PublicGdprDeleteInput, PublicMergeInput
from hubspot.crm.properties import (
    BatchInputPropertyName,
    BatchReadInputPropertyName,
    OptionInput,
    PropertyCreate,
    PropertyName,
    PropertyUpdate,
)
from hubspot.utils.signature import Signature

URL, SECRET = sys.argv[1], sys.argv[2]
# Strict: a missing required member or a bad enumeration raises.
client = HubSpot(access_token="any", host=URL, base_url=URL, client_side_validation=True)
# Real errors inside a 207 lack members that the client's model requires.
lenient = HubSpot(access_token="any", host=URL)


def control(path, body=None, method=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{URL}/_sim{path}", data=data, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def refused(status, call):
    try:
        call()
    except Exception as error:  # each package of the client has an ApiException of its own
        assert getattr(error, "status", None) == status, f"{status} was due, not {error!r}"
        return json.loads(error.body)
    raise AssertionError(f"{status} was due")


def one_record():
    contacts = client.crm.contacts.basic_api
    made = contacts.create(
        SimplePublicObjectInputForCreate(properties={"email": "Ana@Example.com", "firstname": "Ana", "phone": "1"})
    )
    assert made.properties["email"] == "ana@example.com", made
    read = contacts.get_by_id(made.id, properties=["phone", "lastname"], properties_with_history=["phone"])
    assert read.properties["phone"] == "1" and read.properties["lastname"] is None, read
    past = read.properties_with_history["phone"]
    assert [one.value for one in past] == ["1"] and past[0].source_type == "INTEGRATION", past
    contacts.update(made.id, SimplePublicObjectInput(properties={"phone": "2", "firstname": ""}))
    read = contacts.get_by_id("ana@example.com", id_property="email", properties=["phone", "firstname"])
    assert read.id == made.id and read.properties["phone"] == "2" and read.properties["firstname"] is None, read
    past = contacts.get_by_id(made.id, properties_with_history=["phone"]).properties_with_history["phone"]
    assert [one.value for one in past] == ["2", "1"], past
    clash = refused(
        409,
        lambda: contacts.create(SimplePublicObjectInputForCreate(properties={"email": "ana@example.com"})),
    )
    assert clash["message"] == f"Contact already exists. Existing ID: {made.id}", clash
    return made.id


def errors(contact):
    contacts = client.crm.contacts.basic_api
    unknown = refused(400, lambda: contacts.update(contact, SimplePublicObjectInput(properties={"nope": "1"})))
    assert unknown["category"] == "VALIDATION_ERROR" and unknown["errors"][0]["code"] == "PROPERTY_DOESNT_EXIST"
    assert unknown["errors"][0]["context"]["propertyName"] == ["nope"] and unknown["correlationId"]
    option = refused(400, lambda: contacts.update(contact, SimplePublicObjectInput(properties={"lifecyclestage": "x"})))
    assert option["errors"][0]["code"] == "INVALID_OPTION", option
    fixed = refused(400, lambda: contacts.update(contact, SimplePublicObjectInput(properties={"createdate": "0"})))
    assert fixed["errors"][0]["code"] == "READ_ONLY_VALUE", fixed
    assert refused(404, lambda: contacts.get_by_id("1"))["category"] == "OBJECT_NOT_FOUND"
    control("/faults", {"fault": "rate_limit", "policy": "DAILY", "next": 1})
    assert refused(429, lambda: contacts.get_by_id(contact))["policyName"] == "DAILY"
    for status in (423, 477, 503):
        control("/faults", {"fault": "status", "status": status, "next": 1, "op": "contacts.get"})
        refused(status, lambda: contacts.get_by_id(contact))


def batches():
    batch = client.crm.objects.batch_api
    rows = [
        SimplePublicObjectBatchInputForCreate(properties={"name": f"Firm {n}"}, object_write_trace_id=f"t{n}")
        for n in range(3)
    ]
    made = batch.create("companies", BatchInputSimplePublicObjectBatchInputForCreate(inputs=rows))
    assert [one.object_write_trace_id for one in made.results] == ["t0", "t1", "t2"], made
    ids = [one.id for one in made.results]
    wanted = [SimplePublicObjectId(id=one) for one in ids]
    read = batch.read(
        "companies",
        BatchReadInputSimplePublicObjectId(inputs=wanted, properties=["name"], properties_with_history=["name"]),
    )
    assert len(read.results) == 3 and read.results[0].properties_with_history["name"][0].value == "Firm 0", read
    some = lenient.crm.objects.batch_api.read(
        "companies",
        BatchReadInputSimplePublicObjectId(
            inputs=[*wanted, SimplePublicObjectId(id="999")], properties=["name"], properties_with_history=[]
        ),
    )
    assert some.num_errors == 1 and some.errors[0].context == {"ids": ["999"]}, some
    changed = batch.update(
        "companies",
        BatchInputSimplePublicObjectBatchInput(
            inputs=[SimplePublicObjectBatchInput(id=ids[0], properties={"city": "Essen"})]
        ),
    )
    assert changed.results[0].properties["city"] == "Essen", changed
    partly = lenient.crm.objects.batch_api.update(
        "companies",
        BatchInputSimplePublicObjectBatchInput(
            inputs=[
                SimplePublicObjectBatchInput(id=ids[1], properties={"city": "Ulm"}, object_write_trace_id="good"),
                SimplePublicObjectBatchInput(id=ids[2], properties={"nope": "x"}, object_write_trace_id="bad"),
            ]
        ),
    )
    assert [one.object_write_trace_id for one in partly.results] == ["good"], partly
    assert partly.errors[0].context == {"objectWriteTraceId": ["bad"]}, partly
    batch.archive("companies", BatchInputSimplePublicObjectId(inputs=[wanted[2]]))
    refused(404, lambda: client.crm.companies.basic_api.get_by_id(ids[2]))
    assert client.crm.companies.basic_api.get_by_id(ids[2], archived=True).archived
    return ids[0]


def properties():
    api = client.crm.properties.core_api
    made = api.create(
        "contacts",
        PropertyCreate(
            name="portal_id", label="Portal id", type="string", field_type="text", group_name="contactinformation",
            has_unique_value=True,
        ),
    )
    assert made.has_unique_value and not made.modification_metadata.read_only_value, made
    api.create(
        "contacts",
        PropertyCreate(
            name="tier", label="Tier", type="enumeration", field_type="select", group_name="contactinformation",
            options=[OptionInput(label=name, value=name, hidden=False) for name in ("gold", "silver")],
        ),
    )
    changed = api.update("contacts", "tier", PropertyUpdate(label="Level"))
    assert changed.label == "Level" and [one.value for one in changed.options] == ["gold", "silver"], changed
    known = {one.name: one for one in api.get_all("contacts").results}
    assert known["hs_object_id"].modification_metadata.read_only_value and "email" in known
    refused(404, lambda: api.get_by_name("contacts", "nope"))
    refused(409, lambda: api.create("contacts", PropertyCreate(
        name="tier", label="x", type="string", field_type="text", group_name="contactinformation")))
    read = client.crm.properties.batch_api.read(
        "contacts", BatchReadInputPropertyName(inputs=[PropertyName(name="tier")], archived=False))
    assert read.results[0].name == "tier"
    assert client.crm.properties.groups_api.get_all("contacts").results[0].name == "contactinformation"
    api.create("contacts", PropertyCreate(
        name="gone", label="Gone", type="string", field_type="text", group_name="contactinformation"))
    client.crm.properties.batch_api.archive(
        "contacts", BatchInputPropertyName(inputs=[PropertyName(name="gone")]))
    refused(404, lambda: api.get_by_name("contacts", "gone"))
    batch = client.crm.objects.batch_api
    rows = lambda phone: BatchInputSimplePublicObjectBatchInputUpsert(inputs=[
        SimplePublicObjectBatchInputUpsert(id="p-1", id_property="portal_id", properties={"phone": phone})])
    first, again = batch.upsert("contacts", rows("1")).results[0], batch.upsert("contacts", rows("2")).results[0]
    assert first.new and not again.new and first.id == again.id and again.properties["portal_id"] == "p-1"


def search():
    for number in range(5):
        client.crm.deals.basic_api.create(
            SimplePublicObjectInputForCreate(properties={"dealname": f"Deal {number}", "amount": str(number * 10)}))
    request = lambda after: PublicObjectSearchRequest(
        filter_groups=[FilterGroup(filters=[Filter(property_name="amount", operator="GTE", value="10")])],
        sorts=["-amount"], properties=["dealname", "amount"], limit=3, after=after)
    page = client.crm.objects.search_api.do_search("deals", request(None))
    assert page.total == 4 and [one.properties["amount"] for one in page.results] == ["40", "30", "20"], page
    rest = client.crm.objects.search_api.do_search("deals", request(page.paging.next.after))
    assert [one.properties["amount"] for one in rest.results] == ["10"] and rest.paging is None, rest
    beyond = PublicObjectSearchRequest(limit=100, after="9901")
    refused(400, lambda: client.crm.objects.search_api.do_search("deals", beyond))
    all_deals = client.crm.deals.get_all()
    assert len(all_deals) == 5, all_deals
    first = client.crm.deals.basic_api.get_page(limit=2)
    second = client.crm.deals.basic_api.get_page(limit=2, after=first.paging.next.after)
    assert not {one.id for one in first.results} & {one.id for one in second.results}


def associations(contact, company):
    api, batch = client.crm.associations.v4.basic_api, client.crm.associations.v4.batch_api
    primary = [AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=1)]
    made = api.create("contacts", contact, "companies", company, primary)
    assert made.from_object_id == contact and made.to_object_type_id == "0-2", made
    page = api.get_page("contacts", contact, "companies")
    assert sorted(one.type_id for one in page.results[0].association_types) == [1, 279], page
    read = client.crm.contacts.basic_api.get_by_id(contact, associations=["companies"])
    assert {one.id for one in read.associations["companies"].results} == {company}, read
    both = batch.get_page("companies", "contacts", BatchInputPublicFetchAssociationsBatchRequest(
        inputs=[PublicFetchAssociationsBatchRequest(id=company)]))
    assert str(both.results[0].to[0].to_object_id) == contact, both
    api.archive("contacts", contact, "companies", company)
    assert api.get_page("contacts", contact, "companies").results == []
    default = api.create_default("contacts", contact, "companies", company)
    assert {one.association_spec.association_type_id for one in default.results} == {279, 280}, default
    pair = PublicAssociationMultiArchive(_from={"id": contact}, to=[{"id": company}])
    batch.archive("contacts", "companies", BatchInputPublicAssociationMultiArchive(inputs=[pair]))
    assert api.get_page("contacts", contact, "companies").results == []
    plain = [AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=279)]
    post = PublicAssociationMultiPost(_from={"id": contact}, to={"id": company}, types=plain)
    batch.create("contacts", "companies", BatchInputPublicAssociationMultiPost(inputs=[post]))
    assert len(api.get_page("contacts", contact, "companies").results) == 1


def merged():
    contacts = client.crm.contacts.basic_api
    make = lambda **set: contacts.create(SimplePublicObjectInputForCreate(properties=set)).id
    kept, gone = make(email="b1@example.com", phone="1"), make(email="b2@example.com", city="Ulm")
    left = contacts.merge(PublicMergeInput(primary_object_id=kept, object_id_to_merge=gone))
    assert left.id not in (kept, gone) and left.properties["city"] == "Ulm" and left.properties["phone"] == "1", left
    read = contacts.get_by_id(kept, properties=["hs_merged_object_ids"])
    assert read.id == left.id and set(read.properties["hs_merged_object_ids"].split(";")) == {kept, gone}, read
    both = client.crm.objects.batch_api.update("contacts", BatchInputSimplePublicObjectBatchInput(
        inputs=[SimplePublicObjectBatchInput(id=gone, properties={"phone": "9"})]))
    assert both.results == [], both
    contacts.purge(PublicGdprDeleteInput(object_id=left.id))
    refused(404, lambda: contacts.get_by_id(left.id))


def raw_and_oauth():
    answer = client.api_request({"path": "/crm/objects/2026-09/contacts?limit=1&properties=email,phone"})
    first = answer.json()["results"][0]
    assert {"email", "phone"} <= set(first["properties"]), first
    assert answer.headers["X-HubSpot-RateLimit-Interval-Milliseconds"] == "10000"
    assert client.api_request({"path": "/crm/v3/objects/contacts/nobody"}).status_code == 404
    api = client.oauth.tokens_api
    refresh = lambda token: api.create(
        grant_type="refresh_token", client_id="id", client_secret="secret", refresh_token=token)
    given = refresh("refresh")
    assert given.expires_in == 1800 and given.refresh_token == "refresh", given
    assert refused(400, lambda: refresh("stale"))["status"] == "BAD_REFRESH_TOKEN"
    info = client.oauth.access_tokens_api.get(given.access_token)
    assert info.app_id == control("/settings")["app"] and 0 < info.expires_in <= 1800, info
    with_grant = HubSpot(access_token=given.access_token, host=URL)
    assert with_grant.crm.contacts.basic_api.get_page(limit=1).results
    control("/clock", {"turn_ms": 1801 * 1000})
    late = refused(401, lambda: with_grant.crm.contacts.basic_api.get_page(limit=1))
    assert late["category"] == "EXPIRED_AUTHENTICATION", late


def webhooks():
    heard = queue.Queue()

    class Target(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            heard.put((self.headers, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    target = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Target)
    threading.Thread(target=target.serve_forever, daemon=True).start()
    uri = f"http://127.0.0.1:{target.server_port}/hooks?tenant=a&x=1"
    # The clock was turned; the client looks at its own.
    ahead = -1801 * 1000
    for versions in (["v1", "v3"], ["v2"]):
        control("/settings", {"webhooks_to": uri, "signatures": versions, "signature_ahead_ms": ahead})
        control("/edit", {"kind": "contacts", "set": {"firstname": "Zoë — 😀"}, "user": 7})
        headers, body = heard.get(timeout=10)
        notices = json.loads(body)
        assert {one["subscriptionType"] for one in notices} <= {"contact.creation", "contact.propertyChange"}, notices
        assert all(one["changeSource"] == "CRM_UI" and one["sourceId"] == "userId:7" for one in notices), notices
        old = headers["X-HubSpot-Signature-Version"]
        assert Signature.is_valid(
            signature=headers["X-HubSpot-Signature"], client_secret=SECRET, request_body=body, http_uri=uri,
            http_method="POST", signature_version=old), f"{old} does not hold"
        if "v3" in versions:
            check = lambda text: Signature.is_valid(
                signature=headers["X-HubSpot-Signature-v3"], client_secret=SECRET, request_body=text, http_uri=uri,
                http_method="POST", signature_version="v3", timestamp=headers["X-HubSpot-Request-Timestamp"])
            assert check(body), "v3 does not hold"
            assert not check(body + " "), "v3 holds for another body"
    target.shutdown()


contact = one_record()
errors(contact)
company = batches()
properties()
search()
associations(contact, company)
merged()
raw_and_oauth()
webhooks()
print("HubSpot's Python client agrees")
