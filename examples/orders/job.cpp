// SPDX-License-Identifier: Apache-2.0
#include "job.hpp"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "holding.hpp"
#include "input/decimal.hpp"
#include "settings.hpp"
#include "velostream/kafka/admin.hpp"

namespace orders {

using namespace std::chrono_literals;
using velostream::Errc;
using velostream::Error;
using velostream::ErrorType;
using velostream::Result;
namespace kafka = velostream::kafka;

namespace {

constexpr std::size_t usual_json = 96;
constexpr std::size_t shown_customers = 5;
constexpr auto patience_with_the_group = 2s; // what it has not left by then is left while the program ends

std::optional<std::uint64_t> line_number_of(const kafka::ConsumedRecord& record) {
    for (const auto [name, value] : record.headers())
        if (name == line_number_header && value)
            if (const auto number = parse_integer(*value)) return static_cast<std::uint64_t>(*number);
    return std::nullopt;
}

// What is no fault of the line is the limit's: no other error of this job blames a record.
std::size_t reason_of(const Error& error) {
    const auto fault = fault_of(error);
    return fault ? static_cast<std::size_t>(*fault) - 1 : dead_reason_words.size() - 1;
}

Error at_database(const Error& error) {
    return error.with_detail("database of --lookup, " + std::string{error.detail()});
}

asio::awaitable<Result<void>> done(Result<void> result) {
    co_return result;
}

} // namespace

Job::Job(asio::io_context& io, const Options& options, Cluster& cluster, std::unique_ptr<Lines> lines,
         const OutageLines& outages, std::ofstream* copy, velostream::Duration longest_pause)
    : io_(io),
      options_(options),
      cluster_(cluster),
      outages_(outages),
      longest_pause_(longest_pause),
      config_(job_config(options, cluster.dead_letters())),
      events_(std::make_shared<GuardEvents>(figures_.guard)),
      resources_(io.get_executor(), config_),
      lines_ahead_(resources_.traffic().try_reserve(reader_bytes(options) + source_bytes(options)).value()),
      connections_(resources_.state().try_reserve(lookup_bytes(options)).value()),
      segments_(options.lookup ? make_segments(io.get_executor(), options) : nullptr),
      breaker_("customer-totals", *config_.circuit_breaker, events_),
      retry_(*config_.retry_policy, events_),
      orders_out_(io.get_executor(), producer_config(options, cluster, 120s)),
      totals_out_(io.get_executor(), producer_config(options, cluster, *config_.retry_policy->attempt_timeout)),
      dead_letters_out_(io.get_executor(),
                        producer_config(options, cluster, config_.dead_letter_queue->delivery_timeout),
                        are_dead_letters_charged(options) ? resources_.traffic() : velostream::MemoryAccount{}),
      dead_letters_(*config_.dead_letter_queue, kafka::DeadLetterTopic{dead_letters_out_},
                    {.application = "orders_pipeline", .group = cluster.group()}),
      orders_in_(io.get_executor(),
                 {.bootstrap_servers = cluster.bootstrap_servers(),
                  .group_id = cluster.group(),
                  .topics = {cluster.orders()},
                  .fetch_wait = cluster.is_embedded() ? 5ms : 100ms,
                  .report_ends = true},
                 resources_.memory()),
      totals_(resources_.state(), resources_.groups()),
      reader_(std::move(lines), reader_bytes(options)),
      source_(reader_, orders_out_, cluster.orders(), figures_, source_bytes(options), copy),
      look_(io) {}

// The order of things: topics and segments are there, lines go in, every line is taken up, its outcome is acknowledged,
// then the loop ends.
asio::awaitable<Result<void>> Job::run() {
    if (segments_) {
        auto preparing = segments_->prepare();
        const auto prepared = co_await std::move(preparing);
        if (!prepared) co_return at_database(prepared.error());
    }
    std::optional<Result<void>> consumed;
    auto handler = [this](const kafka::ConsumedRecord& record) { return process(record); };
    const kafka::ForEachOptions loop{
        .max_in_flight = most_handlers, .memory = records_account(), .handler_bytes = handler_bytes(options_)};
    auto consume = orders_in_.for_each(loop, handler);
    auto ended = [this, &consumed](std::exception_ptr thrown, Result<void> result) {
        consumed = thrown ? Error::from_exception(thrown) : std::move(result);
        source_.fail(Errc::cancelled);
        changed_.wake_all();
    };
    asio::co_spawn(io_, std::move(consume), asio::bind_cancellation_slot(giving_up_.slot(), std::move(ended)));

    asio::co_spawn(io_, watch_for_lost_lines(), asio::detached);

    const auto written = co_await source_.run();
    lines_ahead_.release();
    auto complete = written;
    if (written && !consumed) complete = co_await everything_taken_up(consumed);
    is_watching_ = false;
    look_.cancel();
    orders_in_.stop();
    while (!consumed) co_await changed_.async_wait(asio::use_awaitable);
    co_await orders_in_.close(patience_with_the_group);
    if (segments_) co_await segments_->close();
    if (!*consumed) co_return *consumed;
    co_return complete;
}

// The lines in progress must not take what their own dead letters, which are about as large, need in order to leave.
velostream::MemoryAccount Job::records_account() const {
    const auto& traffic = resources_.traffic();
    if (!are_dead_letters_charged(options_)) return traffic;
    return traffic.child("lines in progress", (*traffic.lowest_limit() - lines_ahead_.bytes()) / 2);
}

asio::awaitable<Result<void>> Job::everything_taken_up(const std::optional<Result<void>>& consumed) {
    asio::steady_timer look{io_};
    while (ledger_.count() < figures_.read && !consumed && !lost_) {
        look.expires_after(10ms);
        co_await look.async_wait(asio::use_awaitable);
    }
    if (lost_) co_return *lost_;
    co_return Result<void>{};
}

asio::awaitable<void> Job::watch_for_lost_lines() {
    constexpr auto patience_with_brokers = 5s;
    const kafka::Admin brokers{{.bootstrap_servers = cluster_.bootstrap_servers()}};
    LossWatch watch{std::chrono::steady_clock::now(), longest_pause_};
    for (boost::system::error_code over; !over;) {
        look_.expires_after(1s);
        auto token = asio::redirect_error(asio::use_awaitable, over);
        co_await look_.async_wait(token);
        const LossWatch::View view{
            .written = figures_.read, .taken_up = ledger_.count(), .all_acknowledged = source_.in_flight() == 0};
        if (over || !watch.is_suspicious(view, std::chrono::steady_clock::now())) continue;
        const auto positions = orders_in_.assignment();
        const auto held = co_await brokers.offsets(cluster_.orders(), patience_with_brokers);
        if (!is_watching_) co_return;
        const bool is_all_read = held && all_read(*held, positions) && ledger_.count() == view.taken_up;
        if (!watch.are_lost(is_all_read, std::chrono::steady_clock::now())) continue;
        lost_ = Error{boost::system::errc::make_error_code(boost::system::errc::io_error),
                      std::to_string(view.written - view.taken_up) + " lines were written to " + cluster_.orders() +
                          " but cannot be read, first line " + std::to_string(ledger_.first_missing() + 1)};
        source_.fail(*lost_);
        co_return;
    }
}

asio::awaitable<Result<void>> Job::process(const kafka::ConsumedRecord& record) {
    const auto line = record.value().value_or(std::string_view{});
    const auto number = line_number_of(record);
    if (!number || *number >= figures_.read)
        return done(Error{boost::system::errc::make_error_code(boost::system::errc::bad_message),
                          "topic " + cluster_.orders() + " holds a record that this job did not write"});
    if (!ledger_.take_up(*number)) {
        ++figures_.repeated;
        return done({});
    }
    source_.on_consumed(bytes_in_topic(line.size(), record.key().value_or(std::string_view{}).size()));
    begin_outages_if_due();

    auto order = parse_order(line);
    if (!order) return bury(record, order.error());
    if (segments_) return look_up_and_add(record, std::move(*order), *number);
    return add(record, *order, std::nullopt, *number);
}

asio::awaitable<Result<void>> Job::look_up_and_add(const kafka::ConsumedRecord& record, Order order,
                                                   std::uint64_t line) {
    auto looking = segments_->segment_of(order.customer);
    const auto segment = co_await std::move(looking);
    if (!segment) co_return at_line(line, segment.error());
    auto adding = add(record, order, *segment, line);
    co_return co_await std::move(adding);
}

asio::awaitable<Result<void>> Job::add(const kafka::ConsumedRecord& record, const Order& order,
                                       std::optional<std::string_view> segment, std::uint64_t line) {
    const auto entry = totals_.add(order, segment);
    if (!entry) return bury(record, entry.error());
    ++figures_.valid;
    return publish(**entry, line);
}

// Each try sends the total as it is then. So whatever is tried again, what is written last for a customer is his newest
// total: Kafka keeps the order of the sends, and none of them is older than one before it.
asio::awaitable<Result<void>> Job::publish(const CustomerTotals::Entry& entry, std::uint64_t line) {
    kafka::Record record{cluster_.totals(), std::string{entry.first}, std::string{}};
    auto send = velostream::idempotent([&](velostream::CallContext& call) {
        record.value->clear();
        record.value->reserve(usual_json);
        append_json(*record.value, entry);
        return totals_out_.async_send(record, call, asio::deferred);
    });
    ++figures_.totals_sent;
    for (;;) {
        const auto sent = co_await guarded_.execute(send);
        if (sent) break;
        const auto error = sent.error();
        // A total that was written twice is recognised.
        if (!error.passes_with_repetition()) co_return at_line(line, error);
        co_await until_worth_a_try(breaker_); // the record is not to blame: hold it
    }
    ++figures_.totals_acknowledged;
    co_return Result<void>{};
}

asio::awaitable<Result<void>> Job::bury(const kafka::ConsumedRecord& record, Error error) {
    for (;;) {
        const auto stored = co_await dead_letters_.send_to_dlq(record, error);
        if (stored) break;
        const auto why = stored.error();
        if (why != Errc::dead_letter_lost || !why.inner()->passes_with_repetition())
            co_return at_line(line_number_of(record).value_or(0), why);
    }
    ++figures_.dead_letters[reason_of(error)];
    co_return Result<void>{};
}

void Job::begin_outages_if_due() {
    const auto after = [this](velostream::Duration length, auto end) {
        auto over = std::make_unique<asio::steady_timer>(io_, length);
        auto& timer = *over;
        timer.async_wait([end, kept = std::move(over)](boost::system::error_code) { end(); });
    };
    if (is_due(outages_.brokers)) {
        cluster_.embedded().all_brokers_down();
        after(options_.outage->length, [this] { cluster_.embedded().all_brokers_up(); });
    }
    if (is_due(outages_.database)) {
        segments_->begin_outage();
        after(options_.db_outage->length, [this] { segments_->end_outage(); });
    }
}

bool Job::is_due(std::optional<std::uint64_t>& line) const {
    if (!line || ledger_.count() < *line) return false;
    line.reset();
    return true;
}

void Job::interrupt() {
    figures_.interrupted = true;
    reader_.stop();
}

// The handlers must end before the job: their guards write into its breaker, its retries and its dead letters.
void Job::give_up() {
    source_.fail(Errc::cancelled);
    giving_up_.emit(asio::cancellation_type::terminal);
}

const Figures& Job::figures() {
    const auto memory = resources_.get_memory_stats();
    const auto dead_letters = dead_letters_.get_stats();
    figures_.dead_letters_in_flight = dead_letters.in_flight;
    figures_.failed_deliveries = dead_letters.failed_deliveries;
    figures_.lines = ledger_.count();
    figures_.guard.breaker = breaker_.state();
    if (segments_) figures_.lookup = segments_->figures();
    figures_.customers = totals_.customers();
    figures_.grand_total = totals_.grand_total();
    figures_.memory_used = memory.used_bytes;
    figures_.memory_peak = memory.peak_bytes;
    figures_.memory_limit = memory.limit_bytes.value_or(0);
    return figures_;
}

Figures Job::final_figures() {
    auto figures = this->figures();
    figures.top = totals_.top(shown_customers);
    if (figures.lookup) figures.lookup->segments = totals_.top_segments(shown_customers);
    figures.outages_due = outages_;
    return figures;
}

std::optional<double> Job::progress() const {
    const auto read = reader_.progress();
    if (!read || figures_.read == 0) return read;
    return *read * static_cast<double>(figures_.totals_acknowledged + figures_.dead_letters_total()) /
           static_cast<double>(figures_.read);
}

} // namespace orders
