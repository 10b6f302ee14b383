// The client of Qpid Proton C++: ADDRESS send|receive OCTETS IN_FLIGHT WARM_UP SECONDS, then one line of JSON.
//
// One container with one thread and callbacks, as its examples do it: messages go out in on_sendable, and the next ones once
// confirmations have come; received ones are accepted by the library, which also tops up the credit.

#include <proton/binary.hpp>
#include <proton/connection.hpp>
#include <proton/connection_options.hpp>
#include <proton/container.hpp>
#include <proton/delivery.hpp>
#include <proton/message.hpp>
#include <proton/messaging_handler.hpp>
#include <proton/receiver.hpp>
#include <proton/receiver_options.hpp>
#include <proton/sender.hpp>
#include <proton/tracker.hpp>
#include <proton/transport.hpp>

#include <sys/resource.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>

namespace {

using Clock = std::chrono::steady_clock;

double processor_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    auto seconds = [](const timeval& time) { return double(time.tv_sec) + double(time.tv_usec) / 1e6; };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Counts messages between the warm-up and the end. The clock is looked at once in 64 messages, as in every client.
class Meter {
  public:
    Meter(double warm_up, double measured) : warm_up_(warm_up), measured_(measured) {}

    // One more is done. True at the end, with the figures printed.
    bool tick() {
        if (++messages_ % 64 != 0 || done_) return false;
        const auto now = Clock::now();
        const auto since = [&](Clock::time_point from) { return std::chrono::duration<double>(now - from).count(); };
        if (!started_) {
            if (since(start_) < warm_up_) return false;
            started_ = true;
            start_ = now;
            processor_ = processor_seconds();
            before_ = messages_;
            return false;
        }
        if (since(start_) < measured_) return false;
        done_ = true;
        std::cout << "{\"messages\": " << messages_ - before_ << ", \"seconds\": " << since(start_)
                  << ", \"processor_seconds\": " << processor_seconds() - processor_ << "}" << std::endl;
        return true;
    }

    bool done() const { return done_; }

  private:
    double warm_up_, measured_;
    unsigned long messages_ = 0, before_ = 0;
    bool started_ = false, done_ = false;
    Clock::time_point start_ = Clock::now();
    double processor_ = 0;
};

class Client : public proton::messaging_handler {
  public:
    Client(std::string address, bool sends, std::size_t octets, int in_flight, Meter meter)
        : address_(std::move(address)), sends_(sends), octets_(octets), in_flight_(in_flight), meter_(meter),
          message_(proton::binary(std::string(octets, 'x'))) {
        // The body is a data section, as with the others.
        message_.inferred(true);
    }

    void on_container_start(proton::container& container) override {
        container.connect("amqp://" + address_, proton::connection_options().sasl_allowed_mechs("ANONYMOUS"));
    }

    void on_connection_open(proton::connection& connection) override {
        if (sends_) {
            connection.open_sender("sink");
        } else {
            connection.open_receiver(std::to_string(octets_), proton::receiver_options().credit_window(in_flight_));
        }
    }

    void on_sendable(proton::sender& sender) override { fill(sender); }

    void on_tracker_accept(proton::tracker& tracker) override {
        --under_way_;
        if (meter_.tick()) {
            tracker.connection().close();
        } else if (!meter_.done()) {
            proton::sender sender = tracker.sender();
            fill(sender);
        }
    }

    void on_message(proton::delivery& delivery, proton::message& message) override {
        if (meter_.done()) return;
        if (proton::get<proton::binary>(message.body()).size() != octets_) fail("another body than expected");
        if (meter_.tick()) delivery.connection().close();
    }

    void on_tracker_reject(proton::tracker&) override { fail("not accepted"); }
    void on_tracker_release(proton::tracker&) override { fail("not accepted"); }
    void on_error(const proton::error_condition& error) override { fail(error.what()); }
    void on_transport_error(proton::transport& transport) override {
        if (!meter_.done()) fail(transport.error().what());
    }

  private:
    void fill(proton::sender& sender) {
        while (under_way_ < in_flight_ && sender.credit() > 0) {
            sender.send(message_);
            ++under_way_;
        }
    }

    [[noreturn]] static void fail(const std::string& why) {
        std::cerr << "proton: " << why << std::endl;
        std::exit(1);
    }

    std::string address_;
    bool sends_;
    std::size_t octets_;
    int in_flight_, under_way_ = 0;
    Meter meter_;
    proton::message message_;
};

}  // namespace

int main(int count, char** arguments) {
    if (count != 7) {
        std::cerr << "ADDRESS send|receive OCTETS IN_FLIGHT WARM_UP SECONDS" << std::endl;
        return 2;
    }
    const bool sends = std::string(arguments[2]) == "send";
    Meter meter(std::stod(arguments[5]), std::stod(arguments[6]));
    Client client(arguments[1], sends, std::stoul(arguments[3]), std::stoi(arguments[4]), meter);
    proton::container(client).run();
    return 0;
}
