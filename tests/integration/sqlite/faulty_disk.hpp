// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>

namespace velostream::sqlite {

// The disk of all files that SQLite opens once it was asked for: it hangs or fails when it is told to. One for the
// whole program, since connections are closed on other threads and may outlive a test.
class FaultyDisk {
  public:
    static FaultyDisk& instance() {
        static auto& one = *new FaultyDisk;
        return one;
    }

    // As it was.
    void recover() {
        write_code = SQLITE_OK;
        sync_code = SQLITE_OK;
        go_on();
    }
    // Whoever syncs from now on hangs until `go_on`.
    void hang() {
        const std::scoped_lock lock{mutex_};
        hangs_ = true;
    }
    void go_on() {
        std::unique_lock lock{mutex_};
        hangs_ = false;
        changed_.notify_all();
        changed_.wait(lock, [this] { return hanging_ == 0; });
    }
    void wait_until_somebody_hangs() {
        std::unique_lock lock{mutex_};
        changed_.wait(lock, [this] { return hanging_ > 0; });
    }

    // The code that writes and syncs end with.
    std::atomic<int> write_code{SQLITE_OK};
    std::atomic<int> sync_code{SQLITE_OK};

  private:
    FaultyDisk() : real_(sqlite3_vfs_find(nullptr)), vfs_(*real_) {
        vfs_.zName = "faulty";
        vfs_.pAppData = this;
        vfs_.xOpen = &open;
        sqlite3_vfs_register(&vfs_, 1);
    }

    struct Methods : sqlite3_io_methods {
        const sqlite3_io_methods* real;
        FaultyDisk* disk;
    };

    static const Methods& methods_of(sqlite3_file* file) { return *static_cast<const Methods*>(file->pMethods); }

    static int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
        auto& self = *static_cast<FaultyDisk*>(vfs->pAppData);
        const int code = self.real_->xOpen(self.real_, name, file, flags, out_flags);
        if (file->pMethods == nullptr) return code;
        const std::scoped_lock lock{self.mutex_};
        auto& methods = self.methods_[file->pMethods];
        if (!methods) {
            methods = std::make_unique<Methods>(Methods{*file->pMethods, file->pMethods, &self});
            methods->xSync = &sync;
            methods->xWrite = &write;
        }
        file->pMethods = methods.get();
        return code;
    }
    static int sync(sqlite3_file* file, int flags) {
        const auto& methods = methods_of(file);
        methods.disk->hang_if_told();
        if (const int code = methods.disk->sync_code) return code;
        return methods.real->xSync(file, flags);
    }
    static int write(sqlite3_file* file, const void* bytes, int count, sqlite3_int64 at) {
        const auto& methods = methods_of(file);
        if (const int code = methods.disk->write_code) return code;
        return methods.real->xWrite(file, bytes, count, at);
    }

    void hang_if_told() {
        std::unique_lock lock{mutex_};
        if (!hangs_) return;
        ++hanging_;
        changed_.notify_all();
        changed_.wait(lock, [this] { return !hangs_; });
        --hanging_;
        changed_.notify_all();
    }

    sqlite3_vfs* const real_;
    sqlite3_vfs vfs_;
    std::mutex mutex_; // guards what follows
    std::condition_variable changed_;
    std::map<const sqlite3_io_methods*, std::unique_ptr<Methods>> methods_;
    int hanging_ = 0;
    bool hangs_ = false;
};

} // namespace velostream::sqlite
