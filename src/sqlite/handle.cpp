// SPDX-License-Identifier: Apache-2.0
#include "handle.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <utility>

namespace velostream::sqlite {

namespace {

constexpr int steps_between_looks = 1000; // of SQLite's machine: some ten microseconds

const char* name_of(Synchronous synchronous) noexcept {
    switch (synchronous) {
        case Synchronous::off:
            return "PRAGMA synchronous=OFF";
        case Synchronous::normal:
            return "PRAGMA synchronous=NORMAL";
        case Synchronous::full:
            return "PRAGMA synchronous=FULL";
        case Synchronous::extra:
            return "PRAGMA synchronous=EXTRA";
    }
    return "";
}

// They take an argument, and ask or do something that this connection does not remember.
bool is_harmless(std::string_view pragma) noexcept {
    static constexpr std::array<std::string_view, 14> names{
        "application_id", "foreign_key_check", "foreign_key_list", "incremental_vacuum", "index_info",
        "index_list",     "index_xinfo",       "integrity_check",  "optimize",           "quick_check",
        "table_info",     "table_list",        "table_xinfo",      "wal_checkpoint"};
    return std::ranges::find(names, pragma) != names.end() || pragma == "user_version";
}

Error interrupted() {
    return make_error_code(SqliteErrc::interrupted);
}

Error invalid(std::string_view why) {
    return {make_error_code(SqliteErrc::invalid_statement), std::string{why}};
}

// No bytes are not null: SQLite takes a null pointer for that.
template <class Bytes>
const char* begin_of(const Bytes& bytes) noexcept {
    return bytes.empty() ? "" : reinterpret_cast<const char*>(bytes.data());
}

class InUse {
  public:
    explicit InUse(sqlite3_stmt* statement) noexcept : statement_(statement) {}
    InUse(const InUse&) = delete;
    InUse& operator=(const InUse&) = delete;
    ~InUse() {
        sqlite3_reset(statement_);
        sqlite3_clear_bindings(statement_);
    }

  private:
    sqlite3_stmt* statement_;
};

} // namespace

Handle::Handle(const ConnectionConfig& config, std::string file)
    : config_(config), file_(std::move(file)), statements_(config.statement_cache_size) {}

int Handle::note_busy(void* self, int) noexcept {
    static_cast<Handle*>(self)->met_busy_ = true;
    return 0;
}

// An interruption is lost if SQLite has not quite begun, so it is repeated here. It is not answered by this function
// itself: SQLite asks it also when a statement has just been done, and would then call a commit interrupted.
int Handle::repeat_interruption(void* self) noexcept {
    const auto& handle = *static_cast<Handle*>(self);
    if (handle.is_interrupted_) sqlite3_interrupt(handle.database_);
    return 0;
}

int Handle::note_settings(void* self, int action, const char* name, const char* value, const char*,
                          const char*) noexcept {
    auto& changed = static_cast<Handle*>(self)->has_changed_settings_;
    switch (action) {
        case SQLITE_PRAGMA:
            changed |= value != nullptr && !is_harmless(name);
            break;
        case SQLITE_ATTACH:
        case SQLITE_DETACH:
        case SQLITE_CREATE_TEMP_INDEX:
        case SQLITE_CREATE_TEMP_TABLE:
        case SQLITE_CREATE_TEMP_TRIGGER:
        case SQLITE_CREATE_TEMP_VIEW:
            changed = true;
            break;
        default:
            break;
    }
    return SQLITE_OK;
}

void Handle::begin() noexcept {
    is_interrupted_ = false;
    may_have_written_ = false;
    waits_for_lock_ = false;
    was_in_transaction_ = is_in_transaction();
}

void Handle::interrupt() noexcept {
    is_interrupted_ = true; // what has not begun yet looks at this
    const std::scoped_lock lock{mutex_};
    if (database_) sqlite3_interrupt(database_);
}

Result<void> Handle::open() {
    close(); // an earlier try
    const int mode =
        config_.read_only && !config_.path.empty() ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    const int names = config_.path.empty() ? SQLITE_OPEN_URI : 0;
    sqlite3* opened = nullptr;
    const int code =
        sqlite3_open_v2(file_.c_str(), &opened, mode | names | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
    {
        const std::scoped_lock lock{mutex_};
        database_ = opened;
    }
    if (!opened) return Error{make_error_code(static_cast<SqliteErrc>(SQLITE_NOMEM))};
    is_opening_ = true;
    auto result = code == SQLITE_OK ? set_up() : last_error(code);
    is_opening_ = false;
    if (!result) close();
    return result;
}

Result<void> Handle::set_up() {
    sqlite3_busy_handler(database_, &note_busy, this);
    sqlite3_progress_handler(database_, steps_between_looks, &repeat_interruption, this);
    if (config_.read_only && config_.path.empty())
        if (auto set = execute("PRAGMA query_only=ON"); !set) return set;
    if (!config_.read_only && !config_.path.empty())
        if (auto set = set_journal_mode(); !set) return set;
    if (auto set = execute(name_of(config_.synchronous)); !set) return set;
    if (auto set = execute(config_.foreign_keys ? "PRAGMA foreign_keys=ON" : "PRAGMA foreign_keys=OFF"); !set)
        return set;
    if (auto read = execute("PRAGMA schema_version"); !read) return read; // it is a database
    sqlite3_set_authorizer(database_, &note_settings, this);
    has_changed_settings_ = false;
    return {};
}

Result<void> Handle::set_journal_mode() {
    const bool is_wal = config_.journal_mode == JournalMode::wal;
    auto prepared = prepare_only(is_wal ? "PRAGMA journal_mode=WAL" : "PRAGMA journal_mode=DELETE");
    if (!prepared) return prepared.error();
    auto mode = step(prepared->get(), true);
    if (!mode) return mode.error();
    const auto found = mode->empty() ? Result<std::string>{std::string{}} : mode->rows()[0].get<std::string>(0);
    if (found && *found == (is_wal ? "wal" : "delete")) return {};
    return Error{make_error_code(static_cast<SqliteErrc>(SQLITE_CANTOPEN)),
                 "its journal mode cannot be changed from " + found.value()};
}

Result<void> Handle::execute(const char* sql) {
    if (is_interrupted_) return interrupted();
    const int code = sqlite3_exec(database_, sql, nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return last_error(code);
    return {};
}

void Handle::close() noexcept {
    statements_.clear();
    sqlite3* closing = nullptr;
    {
        const std::scoped_lock lock{mutex_};
        std::swap(closing, database_);
    }
    // Nobody interrupts it any more, and what did so before ends with the next statement: it would keep the log from
    // being copied into the file.
    if (closing) sqlite3_exec(closing, "SELECT 1", nullptr, nullptr, nullptr);
    sqlite3_close_v2(closing);
}

// One statement, and where the next one begins. Null where there is nothing but space and comments.
Result<Handle::Prepared> Handle::prepare(std::string_view sql, unsigned flags, std::size_t& end) {
    if (!database_) return Error{make_error_code(SqliteErrc::connection_closed)};
    if (is_interrupted_) return interrupted();
    if (sql.size() > std::size_t{std::numeric_limits<int>::max()})
        return Error{make_error_code(SqliteErrc::too_big), "the statement is too long"};
    met_busy_ = false;
    sqlite3_stmt* statement = nullptr;
    const char* tail = nullptr;
    const int code = sqlite3_prepare_v3(database_, sql.data(), static_cast<int>(sql.size()), flags, &statement, &tail);
    Prepared prepared{statement};
    end = tail ? static_cast<std::size_t>(tail - sql.data()) : sql.size();
    if (code == SQLITE_OK) return prepared;
    auto error = last_error(code);
    if (error != SqliteErrc::error) return error;
    if (met_busy_) { // what it knows of the tables may be outdated, and it could not look
        waits_for_lock_ = true;
        return Error{make_error_code(SqliteErrc::busy)};
    }
    return invalid(error.detail());
}

Result<Handle::Prepared> Handle::prepare_only(std::string_view sql) {
    std::size_t end = 0;
    auto prepared = prepare(sql, SQLITE_PREPARE_PERSISTENT, end);
    if (!prepared) return prepared;
    if (!*prepared) return invalid("there is no statement");
    for (auto rest = sql.substr(end); !rest.empty(); rest.remove_prefix(end)) {
        auto next = prepare(rest, 0, end);
        if (!next || *next) return invalid("there is more than one statement");
    }
    return prepared;
}

Result<QueryResult> Handle::run(const Statement& wanted, bool keeps_rows) {
    Prepared fresh;
    auto* cached = statements_.find(wanted.sql());
    if (!cached) {
        auto prepared = prepare_only(wanted.sql());
        if (!prepared) return prepared.error();
        fresh = *std::move(prepared);
    }
    auto* const statement = cached ? cached->get() : fresh.get();
    auto result = [&]() -> Result<QueryResult> {
        const InUse until_then{statement};
        if (auto bound = bind(statement, wanted.parameters()); !bound) return bound.error();
        return step(statement, keeps_rows);
    }();
    if (fresh) statements_.insert(wanted.sql(), std::move(fresh));
    if (!result && result.error() == SqliteErrc::error) // what it was prepared for may have changed
        if (auto again = prepare_only(wanted.sql()); !again && again.error() == SqliteErrc::invalid_statement)
            return again.error();
    return result;
}

Result<void> Handle::run_script(const std::string& sql, std::size_t& from) {
    while (from < sql.size()) {
        std::size_t length = 0;
        auto prepared = prepare(std::string_view{sql}.substr(from), 0, length);
        if (!prepared) return prepared.error();
        if (*prepared) {
            if (auto done = step(prepared->get(), false); !done) return done.error();
        }
        from += length;
    }
    return {};
}

Result<void> Handle::check() {
    if (!database_) return Error{make_error_code(SqliteErrc::connection_closed)};
    int has_moved = 0;
    if (!config_.path.empty() &&
        sqlite3_file_control(database_, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved) == SQLITE_OK && has_moved != 0)
        return Error{make_error_code(SqliteErrc::read_only_moved), "the file was renamed or removed"};
    const auto read = run(Statement{"PRAGMA schema_version"}, false);
    if (!read) return read.error();
    return {};
}

Result<void> Handle::bind(sqlite3_stmt* statement, const Parameters& parameters) {
    const auto wanted = static_cast<std::size_t>(sqlite3_bind_parameter_count(statement));
    if (wanted != parameters.size())
        return invalid("it has " + std::to_string(wanted) + " parameters, not " + std::to_string(parameters.size()));
    for (std::size_t index = 0; index < wanted; ++index) {
        const auto& value = parameters[index].variant();
        const int number = static_cast<int>(index) + 1;
        int code = SQLITE_OK;
        // Nothing is copied: the parameters are there until the statement has ended.
        if (const auto* integer = std::get_if<std::int64_t>(&value))
            code = sqlite3_bind_int64(statement, number, *integer);
        else if (const auto* real = std::get_if<double>(&value))
            code = sqlite3_bind_double(statement, number, *real);
        else if (const auto* text = std::get_if<std::string>(&value))
            code = sqlite3_bind_text64(statement, number, begin_of(*text), text->size(), SQLITE_STATIC, SQLITE_UTF8);
        else if (const auto* blob = std::get_if<Blob>(&value))
            code = sqlite3_bind_blob64(statement, number, begin_of(*blob), blob->size(), SQLITE_STATIC);
        if (code != SQLITE_OK) return last_error(code);
    }
    return {};
}

Result<QueryResult> Handle::step(sqlite3_stmt* statement, bool keeps_rows) {
    met_busy_ = false;
    was_in_transaction_ = is_in_transaction();
    const bool ends_transaction = was_in_transaction_ && sqlite3_column_count(statement) == 0;
    // In this order: who has interrupted it in vain hears that it may have written.
    if (sqlite3_stmt_readonly(statement) == 0 || ends_transaction) may_have_written_ = true;
    if (is_interrupted_) return interrupted();
    const auto changes_before = sqlite3_total_changes64(database_);
    auto rows = std::make_shared<detail::RowData>();
    int code = SQLITE_ROW;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        if (!keeps_rows) continue;
        if (auto appended = append_row(statement, *rows); !appended) return appended.error();
    }
    if (code != SQLITE_DONE) return last_error(code);
    // Only now: a statement whose tables have changed since is prepared anew by its first step.
    if (keeps_rows && rows->rows == 0)
        for (int column = 0; column < sqlite3_column_count(statement); ++column)
            rows->columns.emplace_back(sqlite3_column_name(statement, column));
    if (sqlite3_total_changes64(database_) != changes_before)
        rows->affected = static_cast<std::uint64_t>(sqlite3_changes64(database_));
    rows->last_insert_id = sqlite3_last_insert_rowid(database_);
    return QueryResult{std::move(rows)};
}

Result<void> Handle::append_row(sqlite3_stmt* statement, detail::RowData& rows) {
    const int columns = sqlite3_column_count(statement);
    if (rows.rows == 0)
        for (int column = 0; column < columns; ++column)
            rows.columns.emplace_back(sqlite3_column_name(statement, column));
    for (int column = 0; column < columns; ++column) {
        detail::Cell cell{.type = ValueType::null};
        const void* bytes = nullptr;
        switch (sqlite3_column_type(statement, column)) {
            case SQLITE_INTEGER:
                cell.type = ValueType::integer;
                cell.integer = sqlite3_column_int64(statement, column);
                break;
            case SQLITE_FLOAT:
                cell.type = ValueType::real;
                cell.real = sqlite3_column_double(statement, column);
                break;
            case SQLITE_TEXT:
                cell.type = ValueType::text;
                bytes = sqlite3_column_text(statement, column);
                break;
            case SQLITE_BLOB:
                cell.type = ValueType::blob;
                bytes = sqlite3_column_blob(statement, column);
                break;
            default:
                break;
        }
        if (cell.type == ValueType::text || cell.type == ValueType::blob) {
            cell.size = static_cast<std::uint32_t>(sqlite3_column_bytes(statement, column));
            if (!bytes && (cell.size != 0 || cell.type == ValueType::text)) // no memory to convert it
                return last_error(SQLITE_NOMEM);
            cell.offset = rows.bytes.size();
            const auto* const begin = static_cast<const char*>(bytes);
            rows.bytes.insert(rows.bytes.end(), begin, begin + cell.size);
        }
        rows.cells.push_back(cell);
    }
    ++rows.rows;
    if (rows.bytes.size() + rows.cells.size() * sizeof(detail::Cell) > config_.max_result_bytes)
        return Error{Errc::memory_limit_exceeded,
                     "a result of more than max_result_bytes = " + std::to_string(config_.max_result_bytes)};
    return {};
}

Error Handle::last_error(int code) {
    const int primary = code & 0xff;
    waits_for_lock_ = primary == SQLITE_BUSY && (met_busy_ || is_opening_);
    std::string detail;
    if (const char* text = sqlite3_errmsg(database_); std::strcmp(text, sqlite3_errstr(code)) != 0) detail = text;
    if (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN)
        if (const int number = sqlite3_system_errno(database_); number != 0)
            detail += (detail.empty() ? "" : ": ") + std::generic_category().message(number);
    if (was_in_transaction_ && !is_in_transaction())
        detail += (detail.empty() ? "" : "; ") + std::string{"the transaction was rolled back"};
    return {make_error_code(static_cast<SqliteErrc>(code)), std::move(detail)};
}

} // namespace velostream::sqlite
