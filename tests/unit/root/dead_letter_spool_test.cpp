// SPDX-License-Identifier: Apache-2.0
// A queue with a spool: what could not be delivered is safe on the disk, and delivered from there in its order.
#include <span>

#include "dead_letter_spool_fixture.hpp"

namespace velostream {
namespace {

TEST_F(DeadLetterSpoolTest, WhatArrivesAtOnceNeedsNoDisk) {
    begin();
    const auto calls = disk.calls;

    const auto& sent = send("a");

    ASSERT_TRUE(sent && *sent);
    EXPECT_FALSE((*sent)->spooled);
    EXPECT_EQ(disk.calls, calls);
    EXPECT_EQ(queue->get_stats().spooled, 0u);
}

TEST_F(DeadLetterSpoolTest, AFailedDeliveryIsSafeOnTheDiskAtOnceAndArrivesFromThere) {
    begin();
    sink.fail_next(unreachable, 2);

    const auto& sent = send("a");

    ASSERT_TRUE(sent && *sent) << "without waiting for retry_delay";
    EXPECT_TRUE((*sent)->spooled);
    EXPECT_EQ((*sent)->deliveries, 1u);
    EXPECT_EQ((*sent)->offset, -1);
    EXPECT_EQ(queue->get_stats().sent, 1u);
    EXPECT_EQ(queue->get_stats().spooled, 1u);
    EXPECT_EQ(in_spool(), 1u);
    EXPECT_EQ(arrived(), Texts{});
    pass(59s);
    EXPECT_EQ(arrived(), Texts{}) << "the second delivery failed, too";
    pass(1s);
    EXPECT_EQ(arrived(), Texts{"a"});
    EXPECT_EQ(in_spool(), 0u);
    EXPECT_EQ(queue->get_stats().relayed, 1u);
    EXPECT_TRUE(disk.names.empty()) << "its file has gone";
}

TEST_F(DeadLetterSpoolTest, TheLetterThatArrivesIsTheOneThatWasSpooled) {
    begin();
    sink.fail_next(unreachable);
    const std::vector<HeaderView> headers{{"h", "1"}, {"h", std::nullopt}, {"", ""}};
    RecordView record{.topic = "orders", .partition = 3, .offset = 41, .headers = std::span{headers}};
    std::optional<Receipt> sent, direct;
    asio::co_spawn(io, queue->send_to_dlq(record, bad_record), [&](std::exception_ptr, Receipt r) { sent = r; });
    run();
    ASSERT_TRUE(sent && *sent);
    asio::co_spawn(io, queue->send_to_dlq(record, bad_record), [&](std::exception_ptr, Receipt r) { direct = r; });
    run();
    ASSERT_TRUE(direct && *direct);

    const auto letters = sink.letters();
    ASSERT_EQ(letters.size(), 2u);
    EXPECT_EQ(letters[0].topic, "bad-orders");
    EXPECT_EQ(letters[0].key, std::nullopt);
    EXPECT_EQ(letters[0].value, std::nullopt);
    EXPECT_EQ(letters[0].source_partition, 3);
    EXPECT_EQ(letters[0].id, letters[1].id);
    ASSERT_EQ(letters[0].headers.size(), letters[1].headers.size());
    for (std::size_t index = 0; index < letters[0].headers.size(); ++index) {
        const auto& [name, value] = letters[0].headers[index];
        EXPECT_EQ(name, letters[1].headers[index].name);
        if (name.ends_with("-ms") || name.ends_with("stacktrace")) continue; // not the same call
        EXPECT_EQ(value, letters[1].headers[index].value) << name;
    }
}

TEST_F(DeadLetterSpoolTest, NewLettersComeBehindThoseThatWait) {
    begin();
    sink.fail_next(unreachable, 2);
    send("a");

    const auto& second = send("b");
    send("c");

    ASSERT_TRUE(second && *second);
    EXPECT_TRUE((*second)->spooled);
    EXPECT_EQ((*second)->deliveries, 0u) << "it was not tried";
    EXPECT_EQ(arrived(), Texts{});
    pass(60s);
    EXPECT_EQ(arrived(), (Texts{"a", "b", "c"}));
    const auto& later = send("d");
    EXPECT_FALSE((*later)->spooled);
    EXPECT_EQ(arrived(), (Texts{"a", "b", "c", "d"}));
}

TEST_F(DeadLetterSpoolTest, WhileTheLastOnesAreOnTheirWayNewOnesWaitAndNeedNoDisk) {
    begin();
    sink.fail_next(unreachable, 2);
    send("a");
    sink.hold();
    begin_again();
    const auto calls = disk.calls;

    auto& waiting = send("b");
    EXPECT_FALSE(waiting);
    sink.release();
    run();

    ASSERT_TRUE(waiting && *waiting);
    EXPECT_FALSE((*waiting)->spooled);
    EXPECT_EQ(arrived(), (Texts{"a", "b"}));
    EXPECT_LE(disk.calls, calls + 1) << "the file was removed";
}

TEST_F(DeadLetterSpoolTest, WhenTheLastOnesFailThoseThatWaitedGoToTheDisk) {
    begin();
    sink.fail_next(unreachable, 2);
    send("a");
    sink.hold();
    begin_again();
    auto& waiting = send("b");

    sink.fail_next(unreachable);
    sink.release();
    run();

    ASSERT_TRUE(waiting && *waiting);
    EXPECT_TRUE((*waiting)->spooled);
    pass(60s);
    EXPECT_EQ(arrived(), (Texts{"a", "b"}));
}

TEST_F(DeadLetterSpoolTest, NobodyWaitsForALetterThatIsTriedAgain) {
    begin();
    sink.fail_next(unreachable, 2);
    send("a");
    sink.hold();
    pass(60s);

    const auto& second = send("b");

    ASSERT_TRUE(second && *second);
    EXPECT_TRUE((*second)->spooled);
    sink.release();
    run();
    EXPECT_EQ(arrived(), (Texts{"a", "b"}));
}

TEST_F(DeadLetterSpoolTest, DeliveryGoesOnForEverAndIsReportedOnceAStall) {
    begin();
    sink.fail_next(unreachable, 12);
    send("a");
    for (int minute = 0; minute < 10; ++minute) pass(60s);

    EXPECT_EQ(observer->events, (Texts{"spooled, 1 there", "1 stuck after 4"}));
    EXPECT_EQ(arrived(), Texts{});
    pass(60s);
    EXPECT_EQ(arrived(), Texts{"a"});
}

TEST_F(DeadLetterSpoolTest, AfterAFailureOneIsTriedAloneUntilItArrives) {
    begin();
    sink.fail_next(unreachable, 2);
    for (const auto* value : {"a", "b", "c"}) send(value);
    sink.fail_next(unreachable, 4);

    begin_again();
    const auto all = sink.deliveries().size();
    pass(60s);
    EXPECT_EQ(sink.deliveries().size(), all + 1) << "the other two are not tried";
    EXPECT_EQ(arrived(), Texts{});
    pass(60s);

    EXPECT_EQ(arrived(), (Texts{"a", "b", "c"}));
}

TEST_F(DeadLetterSpoolTest, ALetterThatIsItselfToBlameHoldsUpNobody) {
    begin();
    const Error too_large{boost::system::errc::make_error_code(boost::system::errc::message_size), "record"};
    ASSERT_EQ(too_large.type(), ErrorType::bad_request);
    sink.fail_next(too_large, 2);
    send("too large");

    const auto& behind = send("b");

    EXPECT_FALSE((*behind)->spooled) << "the way is free";
    EXPECT_EQ(arrived(), Texts{"b"});
    EXPECT_EQ(in_spool(), 1u);
    sink.fail_next(too_large);
    pass(60s);
    EXPECT_EQ(arrived(), Texts{"b"});
    pass(60s);
    EXPECT_EQ(arrived(), (Texts{"b", "too large"})) << "it was tried every minute";
    EXPECT_EQ(in_spool(), 0u);
}

TEST_F(DeadLetterSpoolTest, TheNextProcessDeliversWhatIsThereBeforeAnythingNew) {
    begin();
    sink.fail_next(unreachable, 100);
    send("a");
    send("b");
    begin_again();
    EXPECT_EQ(in_spool(), 2u);
    send("c");
    sink = InMemoryDeadLetters{};
    begin_again();
    run();

    EXPECT_EQ(arrived(), (Texts{"a", "b", "c"}));
    EXPECT_EQ(in_spool(), 0u);
}

TEST_F(DeadLetterSpoolTest, AFullSpoolHoldsTheCallerAndThenSaysSo) {
    limits.max_size = 20'000;
    config.max_retries = 1;
    begin();
    sink.fail_next(unreachable, 1000);
    std::size_t taken = 0;
    std::optional<Receipt>* last = &send(std::string(500, 'x'));
    for (; *last; last = &send(std::string(500, 'x'))) ++taken;
    EXPECT_GT(taken, 2u);
    auto& refused = *last;

    pass(5s);  // delivery_timeout
    pass(60s); // retry_delay
    EXPECT_FALSE(refused);
    pass(5s);

    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->error(), Errc::dead_letter_lost);
    EXPECT_EQ(*refused->error().inner(), Errc::disk_quota_exceeded);
    EXPECT_EQ(queue->get_stats().lost, 1u);
    EXPECT_EQ(in_spool(), taken) << "nothing was dropped for it";
}

TEST_F(DeadLetterSpoolTest, RoomThatComesBackIsTaken) {
    limits.max_size = 4096;
    limits.segment_size = 1024;
    begin();
    sink.fail_next(unreachable, 2);
    std::optional<Receipt>* last = &send(std::string(500, 'x'));
    while (*last) last = &send(std::string(500, 'x'));

    time.advance(1s);
    run();
    EXPECT_FALSE(*last);
    pass(59s); // delivered: but the call had its own retry in between
    pass(60s);

    ASSERT_TRUE(*last && **last);
    EXPECT_EQ(arrived().size(), results.size());
}

TEST_F(DeadLetterSpoolTest, WhereTheDiskFailsTheSinkIsTriedAgainAfterTheDelay) {
    begin();
    sink.fail_next(unreachable);
    disk.goes_well = [](ModelledDisk::Call, std::size_t) { return false; };

    auto& sent = send("a");

    EXPECT_FALSE(sent);
    EXPECT_EQ(queue->get_stats().spooled, 0u);
    pass(60s);
    ASSERT_TRUE(sent && *sent);
    EXPECT_FALSE((*sent)->spooled);
    EXPECT_EQ((*sent)->deliveries, 2u);
}

TEST_F(DeadLetterSpoolTest, WhereBothFailTheErrorHasBoth) {
    config.max_retries = 0;
    begin();
    sink.fail_next(unreachable);
    disk.goes_well = [](ModelledDisk::Call, std::size_t) { return false; };

    auto& sent = send("a");

    ASSERT_TRUE(sent);
    EXPECT_EQ(sent->error(), Errc::dead_letter_lost);
    const auto* const disk_error = sent->error().inner();
    ASSERT_NE(disk_error, nullptr);
    EXPECT_EQ(*disk_error, boost::system::errc::make_error_code(boost::system::errc::io_error));
    ASSERT_NE(disk_error->inner(), nullptr);
    EXPECT_EQ(*disk_error->inner(), unreachable.code());
}

TEST_F(DeadLetterSpoolTest, ADiskThatCannotBeReadIsReadAgainAfterTheDelay) {
    begin();
    sink.fail_next(unreachable);
    disk.can_be_read = false;
    send("a");
    for (int minute = 0; minute < 5; ++minute) pass(60s);
    EXPECT_EQ(arrived(), Texts{});
    EXPECT_EQ(observer->events, (Texts{"spooled, 1 there", "1 stuck after 4"}));

    disk.can_be_read = true;
    pass(60s);

    EXPECT_EQ(arrived(), Texts{"a"});
}

TEST_F(DeadLetterSpoolTest, ACallerWhoGivesUpWhileTheDiskIsAtItMayFindItDelivered) {
    begin();
    sink.fail_next(unreachable);
    asio::cancellation_signal cancel;
    disk.goes_well = [&](ModelledDisk::Call call, std::size_t) {
        if (call == ModelledDisk::Call::write) cancel.emit(asio::cancellation_type::terminal);
        return true;
    };

    auto& sent = send("a", cancel.slot());

    ASSERT_TRUE(sent);
    EXPECT_EQ(sent->error(), Errc::cancelled);
    EXPECT_EQ(arrived(), Texts{"a"}) << "nobody waits for it, and it is not lost";
    EXPECT_EQ(queue->get_stats().cancelled, 1u);
}

TEST_F(DeadLetterSpoolTest, AllIsGivenBackToTheAccount) {
    account = MemoryAccount{"dead letters", 100'000};
    begin();
    sink.fail_next(unreachable, 3);
    send("a");
    send("b");
    EXPECT_EQ(account.used(), 0u) << "the disk has it";
    pass(60s);
    pass(60s);
    EXPECT_EQ(arrived(), (Texts{"a", "b"}));
    EXPECT_EQ(account.used(), 0u);
}

TEST_F(DeadLetterSpoolTest, ManyLettersKeepTheirOrder) {
    limits = {.segment_size = 1 << 20, .max_size = Bytes{1} << 30, .min_free_disk = 0};
    begin();
    sink.fail_next(unreachable, 2);
    Texts expected;
    for (int i = 0; i < 2000; ++i) {
        expected.push_back(std::to_string(i) + std::string(400, '.'));
        send(expected.back());
    }

    pass(60s);

    EXPECT_EQ(arrived(), expected);
    EXPECT_EQ(in_spool(), 0u);
    EXPECT_TRUE(disk.names.empty());
}

TEST_F(DeadLetterSpoolTest, AFolderOfTheConfigIsOpenedAndItsThreadWaitsForTheDisk) {
    const TemporaryFolder folder;
    config.spool_directory = folder.path() / "spool";
    queue.emplace(config, sink, DeadLetterQueueOptions{.executor = io.get_executor()}, time);
    sink.fail_next(unreachable);
    std::optional<Receipt> sent;
    const RecordView record{.topic = "orders", .partition = 3, .offset = 1, .value = "a"};
    asio::co_spawn(io, queue->send_to_dlq(record, bad_record), [&](std::exception_ptr, Receipt r) { sent = r; });

    io.restart();
    io.run();

    ASSERT_TRUE(sent && *sent) << sent->error();
    EXPECT_TRUE((*sent)->spooled);
    EXPECT_THROW((Queue{config, sink, DeadLetterQueueOptions{.executor = io.get_executor()}, time}), ErrorException)
        << "the folder is taken";
    config.spool_directory = folder.path() / "other";
    EXPECT_THROW((Queue{config, sink, {}, time}), std::invalid_argument) << "this sink has no executor";
}

} // namespace
} // namespace velostream
