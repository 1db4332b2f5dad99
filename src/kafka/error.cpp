// SPDX-License-Identifier: Apache-2.0
#include "velostream/kafka/error.hpp"

#include <librdkafka/rdkafka.h>

#include <string>

#include "velostream/base/error_type.hpp"

namespace velostream::kafka {

namespace {

// What a record or the request made of it names wrongly is `bad_request`, for that blames the record: its size, its
// format, its topic, what the broker knows nothing of. What somebody has to mend in the program or the cluster,
// whatever the record, is `fatal`; what passes by itself is `service_unavailable`.
ErrorType type_of(int value) noexcept {
    switch (static_cast<rd_kafka_resp_err_t>(value)) {
        case RD_KAFKA_RESP_ERR__TRANSPORT:
        case RD_KAFKA_RESP_ERR__RESOLVE:
        case RD_KAFKA_RESP_ERR__SSL:
        case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
            return ErrorType::network;

        case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
        case RD_KAFKA_RESP_ERR__TIMED_OUT:
        case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
        case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
            return ErrorType::timeout;

        case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
        case RD_KAFKA_RESP_ERR__UNKNOWN_BROKER:
        case RD_KAFKA_RESP_ERR__NODE_UPDATE:
        case RD_KAFKA_RESP_ERR__ISR_INSUFF:
        case RD_KAFKA_RESP_ERR__FAIL: // says as little as the broker's UNKNOWN
        case RD_KAFKA_RESP_ERR__FS:
        case RD_KAFKA_RESP_ERR__RETRY:
        case RD_KAFKA_RESP_ERR__NOOP:
        case RD_KAFKA_RESP_ERR__IN_PROGRESS:
        case RD_KAFKA_RESP_ERR__WAIT_COORD:
        case RD_KAFKA_RESP_ERR__WAIT_CACHE:
        case RD_KAFKA_RESP_ERR__PREV_IN_PROGRESS:
        case RD_KAFKA_RESP_ERR__PARTIAL: // an answer cut short; the next one may be whole
        case RD_KAFKA_RESP_ERR__UNDERFLOW:
        case RD_KAFKA_RESP_ERR__OUTDATED:
        case RD_KAFKA_RESP_ERR__STATE: // such as the offset of a partition that was taken away
        case RD_KAFKA_RESP_ERR_UNKNOWN:
        case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART: // until it has propagated; final through _UNKNOWN_TOPIC
        case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
        case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
        case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
        case RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE:
        case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
        case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
        case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
        case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
        case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
        case RD_KAFKA_RESP_ERR_NOT_CONTROLLER:
        case RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS:
        case RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR:
        case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH:
        case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
        case RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE:
        case RD_KAFKA_RESP_ERR_PREFERRED_LEADER_NOT_AVAILABLE:
        case RD_KAFKA_RESP_ERR_ELIGIBLE_LEADERS_NOT_AVAILABLE:
        case RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT:
        case RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED:
        case RD_KAFKA_RESP_ERR_LISTENER_NOT_FOUND:
        case RD_KAFKA_RESP_ERR_STALE_CTRL_EPOCH:
        case RD_KAFKA_RESP_ERR_STALE_BROKER_EPOCH:
        case RD_KAFKA_RESP_ERR_INCONSISTENT_VOTER_SET:
        case RD_KAFKA_RESP_ERR_FEATURE_UPDATE_FAILED:
        case RD_KAFKA_RESP_ERR_REASSIGNMENT_IN_PROGRESS:
        case RD_KAFKA_RESP_ERR_OPERATION_NOT_ATTEMPTED: // another part of the same request failed
        case RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID:     // the producer takes a new one

        // Reading: the client fetches, resets or joins again by itself.
        case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        case RD_KAFKA_RESP_ERR__NO_OFFSET:
        case RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS:
        case RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS:
        case RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST:
        case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED:
        case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        case RD_KAFKA_RESP_ERR_FETCH_SESSION_ID_NOT_FOUND:
        case RD_KAFKA_RESP_ERR_INVALID_FETCH_SESSION_EPOCH:
        case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
        case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION:
        case RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID:
        case RD_KAFKA_RESP_ERR_MEMBER_ID_REQUIRED:

        // Groups: until a member leaves.
        case RD_KAFKA_RESP_ERR_GROUP_MAX_SIZE_REACHED:
        case RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP:
        case RD_KAFKA_RESP_ERR_GROUP_SUBSCRIBED_TO_TOPIC:
            return ErrorType::service_unavailable;

        case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        case RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE:
            return ErrorType::resource_exhausted;

        case RD_KAFKA_RESP_ERR__AUTHENTICATION:
        case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
        case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
        case RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE:
        case RD_KAFKA_RESP_ERR_SECURITY_DISABLED:
        case RD_KAFKA_RESP_ERR_DELEGATION_TOKEN_AUTH_DISABLED:
        case RD_KAFKA_RESP_ERR_DELEGATION_TOKEN_NOT_FOUND:
        case RD_KAFKA_RESP_ERR_DELEGATION_TOKEN_OWNER_MISMATCH:
        case RD_KAFKA_RESP_ERR_DELEGATION_TOKEN_REQUEST_NOT_ALLOWED:
        case RD_KAFKA_RESP_ERR_DELEGATION_TOKEN_EXPIRED:
        case RD_KAFKA_RESP_ERR_UNACCEPTABLE_CREDENTIAL:
        case RD_KAFKA_RESP_ERR_PRINCIPAL_DESERIALIZATION_FAILURE: // one broker cannot read who we are for another
            return ErrorType::authentication;

        case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        case RD_KAFKA_RESP_ERR_DELEGATION_TOKEN_AUTHORIZATION_FAILED:
            return ErrorType::authorization;

        case RD_KAFKA_RESP_ERR__BAD_MSG:
        case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
        case RD_KAFKA_RESP_ERR__INVALID_ARG:
        case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
        case RD_KAFKA_RESP_ERR__KEY_SERIALIZATION:
        case RD_KAFKA_RESP_ERR__VALUE_SERIALIZATION:
        case RD_KAFKA_RESP_ERR__KEY_DESERIALIZATION:
        case RD_KAFKA_RESP_ERR__VALUE_DESERIALIZATION:
        case RD_KAFKA_RESP_ERR__NOENT: // such as a header that the record lacks
        case RD_KAFKA_RESP_ERR_INVALID_MSG:
        case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
        case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        case RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE:
        case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
        case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
        case RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS:
        case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
        case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
        case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS:
        case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
        case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
        case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
        case RD_KAFKA_RESP_ERR_INVALID_REQUEST:
        case RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT:
        case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
        case RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE:
        case RD_KAFKA_RESP_ERR_INVALID_RECORD:
        case RD_KAFKA_RESP_ERR_INVALID_COMMIT_OFFSET_SIZE:
        case RD_KAFKA_RESP_ERR_INVALID_REPLICA_ASSIGNMENT:
        case RD_KAFKA_RESP_ERR_LOG_DIR_NOT_FOUND:
        case RD_KAFKA_RESP_ERR_INVALID_PRINCIPAL_TYPE:
        case RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND:
        case RD_KAFKA_RESP_ERR_TOPIC_DELETION_DISABLED:
        case RD_KAFKA_RESP_ERR_ELECTION_NOT_NEEDED:
        case RD_KAFKA_RESP_ERR_NO_REASSIGNMENT_IN_PROGRESS:
        case RD_KAFKA_RESP_ERR_RESOURCE_NOT_FOUND:
        case RD_KAFKA_RESP_ERR_DUPLICATE_RESOURCE:
        case RD_KAFKA_RESP_ERR_INVALID_UPDATE_VERSION:
            return ErrorType::bad_request;

        case RD_KAFKA_RESP_ERR__FATAL:
        case RD_KAFKA_RESP_ERR__FENCED:
        case RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE:
        case RD_KAFKA_RESP_ERR__INCONSISTENT:
        case RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER:
        case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
        case RD_KAFKA_RESP_ERR_INVALID_TXN_STATE:
        case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING:
        case RD_KAFKA_RESP_ERR_TRANSACTION_COORDINATOR_FENCED:
        case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
        case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
        case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET: // only where the configuration says that it is an error
        case RD_KAFKA_RESP_ERR__NOT_CONFIGURED:
        case RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED:
        case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
        case RD_KAFKA_RESP_ERR__UNKNOWN_PROTOCOL:
        case RD_KAFKA_RESP_ERR__UNKNOWN_GROUP:
        case RD_KAFKA_RESP_ERR__EXISTING_SUBSCRIPTION:
        case RD_KAFKA_RESP_ERR__CONFLICT:
        case RD_KAFKA_RESP_ERR__READ_ONLY:
        case RD_KAFKA_RESP_ERR__INVALID_TYPE:
        case RD_KAFKA_RESP_ERR_INVALID_GROUP_ID:
        case RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT:
        case RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL:
        case RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT:
            return ErrorType::fatal;

        case RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER: // it was written before: again would be twice
            return ErrorType::outcome_unknown;

        case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
        case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
        case RD_KAFKA_RESP_ERR__DESTROY:
        case RD_KAFKA_RESP_ERR__INTR:
            return ErrorType::cancelled;

        case RD_KAFKA_RESP_ERR__APPLICATION: // the program's own words
        case RD_KAFKA_RESP_ERR_NO_ERROR:
            return ErrorType::unknown;

        // A code of a newer broker or client. Taken for a passing trouble it costs tries in vain until somebody looks;
        // taken for the record's fault it would empty a healthy topic into the dead letters.
        default:
            return ErrorType::service_unavailable;
    }
}

class KafkaCategory final : public boost::system::error_category {
  public:
    const char* name() const noexcept override { return "kafka"; }
    std::string message(int value) const override { return rd_kafka_err2str(static_cast<rd_kafka_resp_err_t>(value)); }
    boost::system::error_condition default_error_condition(int value) const noexcept override {
        const auto type = type_of(value);
        if (type == ErrorType::unknown) return {value, *this};
        return make_error_condition(type);
    }
};

} // namespace

const boost::system::error_category& kafka_category() noexcept {
    static const KafkaCategory category;
    return category;
}

} // namespace velostream::kafka
