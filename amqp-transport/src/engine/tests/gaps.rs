//! What may come early, late or out of order: pipelined frames, echoes, folded verdicts, bounds of what is in flight.

use super::*;

fn frame_of(channel: u16, performative: &Performative) -> BytesMut {
    let mut out = BytesMut::new();
    frame::encode_frame(&mut out, channel, performative);
    out
}

/// What a client writes at once, up to its attach: nothing of it waits for an answer.
fn pipelined() -> BytesMut {
    let mut octets = BytesMut::from(&ProtocolHeader::SASL.to_bytes()[..]);
    let mut init = SaslInit::new(Symbol::from_static("PLAIN"));
    init.initial_response = Some(Bytes::from_static(b"\0u\0p").into());
    octets.extend_from_slice(&sasl_frame(&SaslFrame::Init(init)));
    octets.extend_from_slice(&ProtocolHeader::AMQP.to_bytes());
    let mut attach = Attach::new("link", 0_u32, Role::Sender);
    attach.target = Some(TargetArchetype::Target(Target::new("q")));
    attach.initial_delivery_count = Some(0);
    for performative in [
        Performative::Open(Box::new(Open::new("client"))),
        Performative::Begin(Box::new(Begin::new(0_u32, 10_u32, 10_u32))),
        Performative::Attach(Box::new(attach)),
    ] {
        octets.extend_from_slice(&frame_of(0, &performative));
    }
    octets
}

fn requests(engine: &mut Engine) -> Vec<LinkKey> {
    std::iter::from_fn(|| engine.poll_event())
        .filter_map(|event| match event {
            Event::LinkRequested(key) => Some(key),
            _ => None,
        })
        .collect()
}

// §2.4.5
#[test]
fn a_listener_takes_everything_in_one_read_cut_anywhere() {
    let octets = pipelined();
    for cut in 0..octets.len() {
        let mut script = Scripted::listener();
        script.feed(&octets[..cut]);
        script.feed(&octets[cut..]);
        let requested = requests(&mut script.engine);
        assert_eq!(requested.len(), 1, "cut at {cut}");
        script.engine.accept(requested[0], Termini::default(), Credit::Auto(1)).unwrap();
        let names: Vec<_> = script.hears().iter().map(|(_, performative, _)| performative.name()).collect();
        assert_eq!(names, ["open", "begin", "attach", "flow"], "cut at {cut}");
    }
}

// §2.4.5
#[test]
fn a_listener_takes_a_close_right_behind_the_open() {
    let mut script = Scripted::listener();
    let mut octets = pipelined();
    octets.extend_from_slice(&frame_of(0, &Performative::Close(Close::default())));
    script.feed(&octets);
    let names: Vec<_> = script.hears().iter().map(|(_, performative, _)| performative.name()).collect();
    assert_eq!(names, ["open", "begin", "close"]);
    assert_eq!(script.engine.end(), Some(&ConnectionError::ClosedByPeer(None)));
}

// §5.3.2
#[test]
fn what_is_pipelined_behind_refused_credentials_is_never_looked_at() {
    let mut script = Scripted::listener();
    let octets = pipelined();
    let mut wrong = octets.to_vec();
    let password = wrong.windows(4).position(|window| window == b"\0u\0p").unwrap() + 3;
    wrong[password] = b'q';
    script.feed(&wrong);
    assert!(requests(&mut script.engine).is_empty());
    assert!(script.hears().is_empty(), "no open, no begin");
    assert!(matches!(script.engine.end(), Some(ConnectionError::Sasl { .. })));
}

// §2.4.5
#[test]
fn a_client_begins_and_attaches_before_the_peer_has_opened() {
    let mut script = Scripted::client_with(Sasl::None, Limits::default());
    let session = script.engine.begin().unwrap();
    let link = script.engine.attach(session, options(Role::Receiver, Credit::Auto(1))).unwrap();
    let names: Vec<_> = script.hears().iter().map(|(_, performative, _)| performative.name()).collect();
    assert_eq!(names, ["open", "begin", "attach"]);
    assert!(script.engine.begin().is_err(), "only channel 0 is certain to be allowed");
    script.feed(&ProtocolHeader::AMQP.to_bytes());
    script.says(0, Performative::Open(Box::new(Open::new("peer"))));
    let mut begin = Begin::new(0_u32, 10_u32, 10_u32);
    begin.remote_channel = Some(0);
    script.says(0, Performative::Begin(Box::new(begin)));
    let mut attach = Attach::new("link", 0_u32, Role::Sender);
    attach.source = Some(Source::new("q"));
    attach.initial_delivery_count = Some(0);
    script.says(0, Performative::Attach(Box::new(attach)));
    assert_eq!(script.engine.check_session(session), Ok(true));
    assert_eq!(script.engine.link_status(link), LinkStatus::Attached);
    assert_eq!(flows(&script.hears()).len(), 1, "credit");
}

// §2.4.1
#[test]
fn before_the_peers_open_no_frame_is_larger_than_512_octets() {
    let mut script = Scripted::client_with(Sasl::None, Limits::default());
    let session = script.engine.begin().unwrap();
    let mut large = options(Role::Sender, Credit::Manual);
    large.name = "x".repeat(600).into();
    let refused = script.engine.attach(session, large.clone()).unwrap_err();
    assert!(matches!(refused, LinkError::FrameTooSmall { limit: 512, .. }), "{refused}");
    script.feed(&ProtocolHeader::AMQP.to_bytes());
    script.says(0, Performative::Open(Box::new(Open::new("peer"))));
    script.engine.attach(session, large).unwrap();
}

// §2.7.4
#[test]
fn an_echo_is_answered_with_one_flow_of_the_same_kind() {
    let (mut script, _) = Scripted::sending(100, 5);
    script.hears();
    let mut flow = Flow::new(100_u32, u32::MAX - 1, 100_u32);
    (flow.next_incoming_id, flow.echo) = (Some(0), true);
    script.says(7, Performative::Flow(flow.clone()));
    let heard = script.hears();
    let [answer] = flows(&heard)[..] else { panic!("{heard:?}") };
    assert_eq!((answer.handle, answer.echo), (None, false));
    (flow.handle, flow.delivery_count, flow.link_credit) = (Some(3), Some(0), Some(5));
    script.says(7, Performative::Flow(flow));
    let heard = script.hears();
    let [answer] = flows(&heard)[..] else { panic!("{heard:?}") };
    assert_eq!((answer.handle, answer.link_credit, answer.echo), (Some(0), Some(5), false));
}

// §2.5.6
#[test]
fn each_frame_of_a_delivery_counts_against_the_window() {
    let limits = Limits { incoming_window: 4, ..Limits::default() };
    let (mut script, _) = Scripted::receiving(Credit::Auto(100), limits);
    script.hears();
    let mut transfer = Transfer::new(3_u32);
    (transfer.delivery_id, transfer.delivery_tag) = (Some(0), Some(Bytes::from_static(b"t")));
    transfer.more = true;
    script.transfers(&transfer, b"a");
    assert!(script.hears().is_empty());
    let mut rest = Transfer::new(3_u32);
    rest.more = true;
    script.transfers(&rest, b"");
    let heard = script.hears();
    let [flow] = flows(&heard)[..] else { panic!("{heard:?}") };
    assert_eq!((flow.incoming_window, flow.link_credit), (4, None), "half is used by one delivery");
    for _ in 0..4 {
        script.transfers(&rest, b"");
    }
    script.transfers(&rest, b"");
    assert_eq!(script.ends_with(), conditions::WINDOW_VIOLATION);
}

// §2.7.6
#[test]
fn accepts_given_out_of_order_leave_as_one_disposition() {
    let (mut script, link) = Scripted::receiving(Credit::Auto(100), Limits::default());
    let ids: Vec<_> = (0..6_u32)
        .map(|id| {
            script.delivers(id);
            script.engine.take(link).unwrap().unwrap().id
        })
        .collect();
    script.hears();
    for place in [3, 0, 5, 1, 4, 2] {
        script.engine.settle(link, ids[place], Outcome::Accepted).unwrap();
    }
    let heard = script.hears();
    let [(_, Performative::Disposition(all), _)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((all.first, all.last, all.settled), (0, Some(5), true));
}

// §2.6.7
#[test]
fn credit_bounded_by_octets_counts_what_is_held() {
    let bounded = Credit::Bounded { messages: 50, octets: 1000 };
    let (mut script, link) = Scripted::receiving(bounded, Limits::default());
    assert_eq!(flows(&script.hears())[0].link_credit, Some(1), "no size is known yet");
    let mut transfer = Transfer::new(3_u32);
    (transfer.delivery_id, transfer.delivery_tag) = (Some(0), Some(Bytes::from_static(b"t")));
    script.transfers(&transfer, &[0; 400]);
    assert_eq!(flows(&script.hears())[0].link_credit, Some(1), "600 octets are free");
    transfer.delivery_id = Some(1);
    script.transfers(&transfer, &[0; 700]);
    assert!(flows(&script.hears()).is_empty(), "1100 octets are held");
    for outcome in [Outcome::Accepted, Outcome::Released] {
        let delivery = script.engine.take(link).unwrap().unwrap();
        script.engine.settle(link, delivery.id, outcome).unwrap();
    }
    assert_eq!(flows(&script.hears())[0].link_credit, Some(1), "one of 700 fits into 1000");
}

// §2.6.12
#[test]
fn sends_wait_while_too_many_are_unsettled() {
    let limits = Limits { max_unsettled: 2, ..Limits::default() };
    let (mut script, session) = Scripted::begun_with(limits, 100);
    let link = script.engine.attach(session, options(Role::Sender, Credit::Manual)).unwrap();
    let mut attach = Attach::new("link", 3_u32, Role::Receiver);
    attach.target = Some(TargetArchetype::Target(Target::new("q")));
    script.says(7, Performative::Attach(Box::new(attach)));
    script.grants(100, 0, 0, 10);
    for _ in 0..2 {
        assert!(script.engine.credit(link).unwrap() > 0);
        script.sends(link, b"x");
        script.hears();
    }
    assert_eq!(script.engine.credit(link).unwrap(), 0, "two wait for their outcomes");
    while script.engine.poll_event().is_some() {}
    let mut disposition = Disposition::new(Role::Receiver, 0_u32);
    (disposition.settled, disposition.state) = (true, Some(DeliveryState::Accepted));
    script.says(7, Performative::Disposition(disposition));
    script.hears();
    let events: Vec<_> = std::iter::from_fn(|| script.engine.poll_event()).collect();
    assert!(events.contains(&Event::Link(link)), "who waits is told: {events:?}");
    assert_eq!(script.engine.credit(link).unwrap(), 8);
}

/// A listener whose client takes frames of 512 octets; the client asks for a link.
fn asked_by_small(attach: Attach) -> (Scripted, LinkKey) {
    let mut script = Scripted::listener();
    let mut octets = BytesMut::from(&ProtocolHeader::SASL.to_bytes()[..]);
    let mut init = SaslInit::new(Symbol::from_static("PLAIN"));
    init.initial_response = Some(Bytes::from_static(b"\0u\0p").into());
    octets.extend_from_slice(&sasl_frame(&SaslFrame::Init(init)));
    octets.extend_from_slice(&ProtocolHeader::AMQP.to_bytes());
    let mut open = Open::new("client");
    open.max_frame_size = 512;
    for performative in [
        Performative::Open(Box::new(open)),
        Performative::Begin(Box::new(Begin::new(0_u32, 10_u32, 10_u32))),
        Performative::Attach(Box::new(attach)),
    ] {
        octets.extend_from_slice(&frame_of(0, &performative));
    }
    script.feed(&octets);
    script.octets();
    let request = requests(&mut script.engine)[0];
    (script, request)
}

fn sizes(mut octets: &[u8]) -> Vec<usize> {
    let mut sizes = Vec::new();
    while !octets.is_empty() {
        let size = usize::try_from(FrameHeader::decode(octets).unwrap().size).unwrap();
        sizes.push(size);
        octets = &octets[size..];
    }
    sizes
}

// §2.4.1
#[test]
fn an_answer_that_does_not_fit_into_the_peers_frames_is_a_refusal_that_does() {
    let mut attach = Attach::new("link", 0_u32, Role::Receiver);
    attach.source = Some(Source::new("q".repeat(600)));
    attach.target = Some(TargetArchetype::Target(Target::new("q".repeat(600))));
    let (mut script, request) = asked_by_small(attach.clone());
    let refused = script.engine.accept(request, Termini::default(), Credit::Manual).unwrap_err();
    assert!(matches!(refused, LinkError::FrameTooSmall { limit: 512, .. }), "{refused}");
    let octets = script.octets();
    assert_eq!(sizes(&octets).len(), 2, "attach and detach");
    assert!(sizes(&octets).iter().all(|size| *size <= 512), "{:?}", sizes(&octets));
    attach.name = "x".repeat(600).into();
    let (mut script, request) = asked_by_small(attach);
    script.engine.refuse(request, ErrorInfo::new(conditions::NOT_FOUND, "no"));
    assert_eq!(script.ends_with(), conditions::RESOURCE_LIMIT_EXCEEDED, "it cannot be answered at all");
}

// §2.4.1
#[test]
fn an_error_is_told_in_as_many_words_as_fit() {
    let mut attach = Attach::new("link", 0_u32, Role::Receiver);
    attach.source = Some(Source::new("q"));
    let (mut script, request) = asked_by_small(attach);
    script.engine.refuse(request, ErrorInfo::new(conditions::NOT_FOUND, "é".repeat(2000)));
    let octets = script.octets();
    assert!(sizes(&octets).iter().all(|size| *size <= 512), "{:?}", sizes(&octets));
    script.engine.close(Some(ErrorInfo::new(conditions::CONNECTION_FORCED, "x".repeat(2000))), script.now);
    assert!(sizes(&script.octets()).iter().all(|size| *size <= 512));
}

// §2.6.3
#[test]
fn a_link_that_nobody_answers_is_refused_when_it_is_let_go() {
    let mut attach = Attach::new("link", 0_u32, Role::Receiver);
    attach.source = Some(Source::new("q"));
    let (mut script, request) = asked_by_small(attach);
    script.engine.forget_link(request);
    assert_eq!(script.detaches_with(), conditions::INTERNAL_ERROR);
}

// §2.6.3
#[test]
fn a_link_is_answered_once() {
    let mut attach = Attach::new("link", 0_u32, Role::Receiver);
    attach.source = Some(Source::new("q"));
    let (mut script, request) = asked_by_small(attach);
    script.engine.accept(request, Termini::default(), Credit::Manual).unwrap();
    script.hears();
    assert!(script.engine.accept(request, Termini::default(), Credit::Manual).is_err());
    assert!(script.hears().is_empty());
}
