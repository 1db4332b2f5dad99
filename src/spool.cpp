// SPDX-License-Identifier: Apache-2.0
#include "velostream/spool.hpp"

#include <boost/asio/thread_pool.hpp>
#include <optional>

#include "spool_log.hpp"
#include "velostream/config/validate.hpp"

namespace velostream {

struct Spool::Owner {
    ~Owner() {
        if (thread) thread->join(); // what it has to do is done
    }

    std::optional<asio::thread_pool> thread;
    std::shared_ptr<detail::SpoolDesk> desk;
};

namespace {

Result<SpoolLog> open_log(const SpoolConfig& config) {
    if (const auto problems = validate(config); !problems.empty()) {
        std::string text;
        for (const auto& problem : problems) text += (text.empty() ? "" : "\n") + problem.message();
        return Error{Errc::invalid_configuration, std::move(text)};
    }
    auto folder = open_spool_folder(config.directory);
    if (!folder) return folder.error();
    return SpoolLog::open(
        std::move(*folder),
        {.segment_size = config.segment_size, .max_size = config.max_size, .min_free_disk = config.min_free_disk});
}

} // namespace

Result<Spool> Spool::open(const SpoolConfig& config) {
    auto log = open_log(config);
    if (!log) return log.error();
    auto owner = std::make_shared<Owner>();
    owner->thread.emplace(1);
    owner->desk = std::make_shared<detail::SpoolDesk>(std::move(*log), owner->thread->get_executor());
    return Spool{std::move(owner)};
}

Result<Spool> Spool::open(const SpoolConfig& config, asio::any_io_executor disk) {
    auto log = open_log(config);
    if (!log) return log.error();
    return Spool{std::move(*log), std::move(disk)};
}

Spool::Spool(SpoolLog log, asio::any_io_executor disk) : owner_(std::make_shared<Owner>()) {
    owner_->desk = std::make_shared<detail::SpoolDesk>(std::move(log), std::move(disk));
}

const std::shared_ptr<detail::SpoolDesk>& Spool::desk() const noexcept {
    return owner_->desk;
}

} // namespace velostream
