// SPDX-License-Identifier: Apache-2.0
// A spool that a process has left damaged and torn, on a disk whose calls fail: what can be read stays there to be
// read, and what is damaged is kept aside.
#include <gtest/gtest.h>

#include <boost/system/errc.hpp>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "spool_log.hpp"
#include "support/modelled_disk.hpp"

namespace velostream::spool_log_faults_test {
namespace {

using testing::ModelledDisk;
using Call = ModelledDisk::Call;

constexpr SpoolLimits limits{.segment_size = 200, .max_size = 10'000, .min_free_disk = 0.05};

struct Seen {
    std::map<std::uint64_t, std::string> safe; // told to be, and not damaged since
    std::set<std::uint64_t> done;
};

class SpoolLogFaultsTest : public ::testing::Test {
  protected:
    SpoolLogFaultsTest() {
        {
            auto log = SpoolLog::open(disk.folder(), limits).value();
            append(log, {"first", "damaged", "third"});
            append(log, {std::string(190, 'x')}); // in a file of its own, as everything that follows
            append(log, {std::string(190, 'y'), "last"});
        }
        flip_a_bit_of("damaged");
        seen.safe.erase(2);
        disk.names.rbegin()->second->now += "torn";
        for (const auto& [name, content] : disk.names) content->on_disk = content->now;
        disk.names_on_disk = disk.names;
        disk.calls = 0;
        made.swap(disk.names);
        restore();
    }

    void append(SpoolLog& log, const std::vector<std::string>& payloads) {
        const std::vector<std::string_view> views(payloads.begin(), payloads.end());
        if (const auto first = log.append(views))
            for (std::size_t i = 0; i < payloads.size(); ++i) seen.safe[*first + i] = payloads[i];
    }
    void done(SpoolLog& log, std::uint64_t sequence) {
        seen.done.insert(sequence);
        static_cast<void>(log.done(sequence));
    }
    void flip_a_bit_of(const std::string& payload) {
        for (auto& [name, content] : disk.names)
            if (const auto at = content->now.find(payload); at != std::string::npos) content->now[at] ^= 1;
    }

    /// The disk as the process has left it, all calls going well.
    void restore() {
        disk.names.clear();
        for (const auto& [name, content] : made)
            disk.names.emplace(name, std::make_shared<ModelledDisk::Content>(*content));
        disk.names_on_disk = disk.names;
        disk.calls = 0;
        disk.goes_well = [](Call, std::size_t) { return true; };
        made_calls.clear();
    }
    void fail_if(std::function<bool(std::size_t)> fails) {
        disk.goes_well = [this, fails = std::move(fails)](Call call, std::size_t number) {
            if (!fails(number)) return true;
            made_calls.insert(call);
            return false;
        };
    }

    /// What the next process does: it opens the spool, is done with some, also with a whole damaged file, and appends.
    void use() {
        auto log = SpoolLog::open(disk.folder(), limits);
        if (!log) return;
        done(*log, 1);
        done(*log, 3);
        append(*log, {"new"});
        append(*log, {std::string(190, 'z')});
        done(*log, 4);
        append(*log, {"newer"});
        if (const auto newest = seen.safe.rbegin()->first; newest > 6) done(*log, newest);
    }

    void expect_nothing_is_lost(const std::string& what) {
        auto log = SpoolLog::open(disk.folder(), limits);
        ASSERT_TRUE(log) << what << log.error();
        SpoolCursor cursor;
        const auto entries = log->read(cursor, Bytes{1} << 30);
        ASSERT_TRUE(entries) << what << entries.error();
        std::map<std::uint64_t, std::string> found;
        for (const auto& entry : *entries) found[entry.sequence] = entry.payload;
        for (const auto& [sequence, payload] : seen.safe) {
            if (seen.done.contains(sequence)) continue;
            ASSERT_TRUE(found.contains(sequence)) << what << ": lost " << payload;
            ASSERT_EQ(found[sequence], payload) << what;
        }
        for (const auto& [sequence, payload] : found) ASSERT_TRUE(log->done(sequence)) << what;
        ASSERT_TRUE(log->get_stats().waiting == 0 && log->get_stats().segments == 0) << what;
        std::size_t kept = 0; // the damaged file, whole, whatever it is called
        for (const auto& [name, content] : disk.names) {
            ASSERT_TRUE(name.ends_with(".bad")) << what << ": " << name;
            kept += content->now.find("eamaged") != std::string::npos ? 1U : 0U; // with its bit flipped
        }
        ASSERT_EQ(kept, 1U) << what;
    }

    ModelledDisk disk;
    Seen seen;
    std::map<std::string, std::shared_ptr<ModelledDisk::Content>> made;
    std::set<Call> made_calls; // that failed
};

TEST_F(SpoolLogFaultsTest, NoOneCallThatFailsLosesAnything) {
    const auto left = seen;
    std::set<Call> failed;
    for (std::size_t at = 0;; ++at) {
        restore();
        seen = left;
        fail_if([at](std::size_t number) { return number == at; });
        use();
        const bool is_over = disk.calls <= at;
        failed.merge(made_calls);
        disk.goes_well = [](Call, std::size_t) { return true; };
        expect_nothing_is_lost("call " + std::to_string(at));
        if (HasFatalFailure() || is_over) break;
    }
    for (const auto call : {Call::create, Call::open, Call::write, Call::sync, Call::truncate, Call::rename,
                            Call::remove, Call::sync_folder})
        EXPECT_TRUE(failed.contains(call)) << static_cast<int>(call) << ": each kind had its turn";
}

TEST_F(SpoolLogFaultsTest, NoTwoCallsThatFailLoseAnything) {
    const auto left = seen;
    for (std::size_t first = 0;; ++first) {
        std::size_t calls = 0;
        for (std::size_t second = first + 1; second == first + 1 || second < calls; ++second) {
            restore();
            seen = left;
            fail_if([=](std::size_t number) { return number == first || number == second; });
            use();
            calls = disk.calls;
            disk.goes_well = [](Call, std::size_t) { return true; };
            expect_nothing_is_lost("calls " + std::to_string(first) + " and " + std::to_string(second));
            if (HasFatalFailure()) return;
        }
        if (calls <= first) break;
    }
}

TEST_F(SpoolLogFaultsTest, ADiskThatFailsForGoodLosesNothing) {
    const auto left = seen;
    for (std::size_t at = 0;; ++at) {
        bool is_over = false;
        for (const unsigned kept : {0U, 100U, 200U, 256U}) {
            restore();
            seen = left;
            fail_if([at](std::size_t number) { return number >= at; });
            use();
            is_over = disk.calls <= at;
            disk.lose_power(kept);
            disk.goes_well = [](Call, std::size_t) { return true; };
            expect_nothing_is_lost("call " + std::to_string(at) + ", kept " + std::to_string(kept));
            if (HasFatalFailure()) return;
        }
        if (is_over) break;
    }
}

TEST_F(SpoolLogFaultsTest, ADamagedFileThatCannotBeRenamedStaysAndIsRenamedWithTheNextThatIsDone) {
    auto log = SpoolLog::open(disk.folder(), limits).value();
    ASSERT_TRUE(log.done(1));
    disk.goes_well = [](Call call, std::size_t) { return call != Call::rename; };

    const auto refused = log.done(3);

    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), boost::system::errc::io_error);
    EXPECT_TRUE(disk.names.contains("00000000000000000001.spool")) << "its bytes are not thrown away";
    EXPECT_EQ(log.get_stats().segments, 3U) << "it takes its room until it has gone";
    disk.goes_well = [](Call, std::size_t) { return true; };
    EXPECT_TRUE(log.done(4));
    EXPECT_TRUE(disk.names.contains("00000000000000000001.spool.bad"));
    EXPECT_FALSE(disk.names.contains("00000000000000000001.spool"));
}

TEST_F(SpoolLogFaultsTest, ATornEndThatCannotBeCutOffKeepsTheSpoolShut) {
    for (const auto failing : {Call::truncate, Call::sync}) {
        restore();
        disk.goes_well = [failing](Call call, std::size_t) { return call != failing; };

        const auto log = SpoolLog::open(disk.folder(), limits);

        ASSERT_FALSE(log) << "what is appended behind it would come back after a power loss, or not";
        EXPECT_EQ(log.error().code(), boost::system::errc::io_error);
    }
}

} // namespace
} // namespace velostream::spool_log_faults_test
