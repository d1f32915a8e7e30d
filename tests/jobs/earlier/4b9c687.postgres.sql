CREATE TABLE public.hunyuan_corrections (
    basis text NOT NULL,
    model text NOT NULL,
    "precision" text NOT NULL,
    stage text NOT NULL,
    factor double precision NOT NULL,
    spread double precision NOT NULL
);
CREATE TABLE public.hunyuan_deliveries (
    id text NOT NULL,
    job_id text NOT NULL,
    event text NOT NULL,
    job json NOT NULL,
    state text NOT NULL,
    attempts integer NOT NULL,
    last_status integer,
    last_error text,
    created_at bigint NOT NULL,
    next_attempt_at bigint,
    last_attempt_at bigint
);
CREATE TABLE public.hunyuan_events (
    number bigint NOT NULL,
    job_id text NOT NULL,
    run integer NOT NULL,
    change text NOT NULL,
    state text NOT NULL,
    stage text,
    step integer NOT NULL,
    part integer DEFAULT 0 NOT NULL,
    parts integer DEFAULT 1 NOT NULL,
    at bigint NOT NULL
);
CREATE SEQUENCE public.hunyuan_events_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.hunyuan_events_number_seq OWNED BY public.hunyuan_events.number;
CREATE TABLE public.hunyuan_jobs (
    id text NOT NULL,
    owner text DEFAULT ''::text NOT NULL,
    state text NOT NULL,
    model text NOT NULL,
    params json NOT NULL,
    metadata json NOT NULL,
    priority integer NOT NULL,
    turn integer DEFAULT 0 NOT NULL,
    remixed_from text,
    webhook_url text,
    webhook_events json,
    created_at bigint NOT NULL,
    started_at bigint,
    completed_at bigint,
    expires_at bigint,
    run integer NOT NULL,
    executor_id text,
    attempts integer NOT NULL,
    failed_starts integer NOT NULL,
    resumed_from_step integer,
    stage text,
    step integer NOT NULL,
    part integer DEFAULT 0 NOT NULL,
    parts integer DEFAULT 1 NOT NULL,
    progressed_at bigint,
    has_preview boolean NOT NULL,
    draft_steps integer,
    has_draft boolean DEFAULT false NOT NULL,
    pausing boolean DEFAULT false NOT NULL,
    error_code text,
    error_message text,
    clips double precision NOT NULL,
    evaluations double precision DEFAULT '0'::double precision NOT NULL,
    denoise_flops double precision NOT NULL,
    attention_flops double precision DEFAULT '0'::double precision NOT NULL,
    decode_flops double precision NOT NULL,
    pixels double precision NOT NULL
);
CREATE TABLE public.hunyuan_secrets (
    name text NOT NULL,
    value text NOT NULL
);
CREATE TABLE public.hunyuan_submissions (
    key text NOT NULL,
    fingerprint text NOT NULL,
    job_id text NOT NULL
);
CREATE TABLE public.hunyuan_workers (
    executor_id text NOT NULL,
    beat_at bigint NOT NULL,
    profile json
);
ALTER TABLE ONLY public.hunyuan_events ALTER COLUMN number SET DEFAULT nextval('public.hunyuan_events_number_seq'::regclass);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bdc141004ffb9d807464e7-1-failed', '18ec71bdc141004ffb9d807464e7', 'failed', '{"id": "18ec71bdc141004ffb9d807464e7", "owner": "ana", "state": "failed", "model": "demo", "params": {"prompt": "failed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935411219, "started_at": 1795935411235, "completed_at": 1795935411249, "expires_at": 4000000000000, "run": 1, "executor_id": null, "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "denoising", "step": 2, "part": 0, "parts": 1, "progressed_at": 1795935411245, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": "broken", "error_message": "it broke", "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', 0, NULL, NULL, 1795935411259, 1795935411259, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bdc3a68a694e03c38d49fe-started', '18ec71bdc3a68a694e03c38d49fe', 'started', '{"id": "18ec71bdc3a68a694e03c38d49fe", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "queued again by a retry", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935411259, "started_at": 1795935411273, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-f917f45c4720", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935411273, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', 0, NULL, NULL, 1795935411275, 1795935411275, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bdc3a68a694e03c38d49fe-1-failed', '18ec71bdc3a68a694e03c38d49fe', 'failed', '{"id": "18ec71bdc3a68a694e03c38d49fe", "owner": "ana", "state": "failed", "model": "demo", "params": {"prompt": "queued again by a retry", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935411259, "started_at": 1795935411273, "completed_at": 1795935411283, "expires_at": 4000000000000, "run": 1, "executor_id": null, "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "denoising", "step": 1, "part": 0, "parts": 1, "progressed_at": 1795935411282, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": "broken", "error_message": "it broke", "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', 0, NULL, NULL, 1795935411288, 1795935411288, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bdc6b91760d742c79a8340-started', '18ec71bdc6b91760d742c79a8340', 'started', '{"id": "18ec71bdc6b91760d742c79a8340", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "paused with its draft", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935411310, "started_at": 1795935411327, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-f917f45c4720", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935411327, "has_preview": false, "draft_steps": 2, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', 0, NULL, NULL, 1795935411330, 1795935411330, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bdc8ea9fe6ece10c669867-started', '18ec71bdc8ea9fe6ece10c669867', 'started', '{"id": "18ec71bdc8ea9fe6ece10c669867", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "canceled while it was rendered", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935411347, "started_at": 1795935411361, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-f917f45c4720", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935411361, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', 0, NULL, NULL, 1795935411366, 1795935411366, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bdc8ea9fe6ece10c669867-1-canceled', '18ec71bdc8ea9fe6ece10c669867', 'canceled', '{"id": "18ec71bdc8ea9fe6ece10c669867", "owner": "ana", "state": "canceled", "model": "demo", "params": {"prompt": "canceled while it was rendered", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935411347, "started_at": 1795935411361, "completed_at": 1795935411384, "expires_at": 5395935411384, "run": 1, "executor_id": "vm-f917f45c4720", "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "denoising", "step": 3, "part": 0, "parts": 1, "progressed_at": 1795935411375, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', 0, NULL, NULL, 1795935411387, 1795935411387, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bdbbc4ae5716879a709d60-1-completed', '18ec71bdbbc4ae5716879a709d60', 'completed', '{"id": "18ec71bdbbc4ae5716879a709d60", "owner": "ana", "state": "completed", "model": "demo", "params": {"prompt": "completed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935411126, "started_at": 1795935411164, "completed_at": 1795935411211, "expires_at": 4000000000000, "run": 1, "executor_id": null, "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "publishing", "step": 5, "part": 0, "parts": 1, "progressed_at": 1795935411209, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', 1, NULL, 'no answer in time', 1795935411219, 1795935416402, 1795935411392);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bdc141004ffb9d807464e7-started', '18ec71bdc141004ffb9d807464e7', 'started', '{"id": "18ec71bdc141004ffb9d807464e7", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "failed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935411219, "started_at": 1795935411235, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-f917f45c4720", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935411235, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'failed', 1, 410, NULL, 1795935411238, NULL, 1795935411392);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bdbbc4ae5716879a709d60-started', '18ec71bdbbc4ae5716879a709d60', 'started', '{"id": "18ec71bdbbc4ae5716879a709d60", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "completed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935411126, "started_at": 1795935411164, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-f917f45c4720", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935411164, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'delivered', 1, 204, NULL, 1795935411177, NULL, 1795935411392);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bdcc38990dc40740fa28ca-started', '18ec71bdcc38990dc40740fa28ca', 'started', '{"id": "18ec71bdcc38990dc40740fa28ca", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "pausing at step 1", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935411403, "started_at": 1795935411416, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-f917f45c4720", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935411416, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', 0, NULL, NULL, 1795935411421, 1795935411421, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bdcfc5185b77900fbe9598-started', '18ec71bdcfc5185b77900fbe9598', 'started', '{"id": "18ec71bdcfc5185b77900fbe9598", "owner": "", "state": "in_progress", "model": "demo", "params": {"prompt": "running at step 3", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 2, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935411462, "started_at": 1795935411470, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-7d596166930f", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935411470, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', 0, NULL, NULL, 1795935411475, 1795935411475, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bdd312940d247f1105258b-1-canceled', '18ec71bdd312940d247f1105258b', 'canceled', '{"id": "18ec71bdd312940d247f1105258b", "owner": "ana", "state": "canceled", "model": "demo", "params": {"prompt": "canceled in the queue", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 0, "turn": 4, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935411517, "started_at": null, "completed_at": 1795935411524, "expires_at": 5395935411524, "run": 1, "executor_id": null, "attempts": 0, "failed_starts": 0, "resumed_from_step": null, "stage": "queued", "step": 0, "part": 0, "parts": 1, "progressed_at": null, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', 0, NULL, NULL, 1795935411534, 1795935411534, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bdd419d73bfb77f0cd5f10-1-canceled', '18ec71bdd419d73bfb77f0cd5f10', 'canceled', '{"id": "18ec71bdd419d73bfb77f0cd5f10", "owner": "ana", "state": "canceled", "model": "demo", "params": {"prompt": "canceled while it was paused", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 0, "turn": 4, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935411535, "started_at": null, "completed_at": 1795935411545, "expires_at": 5395935411545, "run": 1, "executor_id": null, "attempts": 0, "failed_starts": 0, "resumed_from_step": null, "stage": "paused", "step": 0, "part": 0, "parts": 1, "progressed_at": null, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', 0, NULL, NULL, 1795935411551, 1795935411551, NULL);
INSERT INTO public.hunyuan_events VALUES (1, '18ec71bdbbc4ae5716879a709d60', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935411135);
INSERT INTO public.hunyuan_events VALUES (2, '18ec71bdbbc4ae5716879a709d60', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795935411167);
INSERT INTO public.hunyuan_events VALUES (3, '18ec71bdbbc4ae5716879a709d60', 1, 'progress', 'in_progress', 'encoding', 0, 0, 1, 1795935411180);
INSERT INTO public.hunyuan_events VALUES (4, '18ec71bdbbc4ae5716879a709d60', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795935411182);
INSERT INTO public.hunyuan_events VALUES (5, '18ec71bdbbc4ae5716879a709d60', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795935411185);
INSERT INTO public.hunyuan_events VALUES (6, '18ec71bdbbc4ae5716879a709d60', 1, 'progress', 'in_progress', 'denoising', 2, 0, 1, 1795935411190);
INSERT INTO public.hunyuan_events VALUES (7, '18ec71bdbbc4ae5716879a709d60', 1, 'progress', 'in_progress', 'denoising', 3, 0, 1, 1795935411191);
INSERT INTO public.hunyuan_events VALUES (8, '18ec71bdbbc4ae5716879a709d60', 1, 'progress', 'in_progress', 'denoising', 4, 0, 1, 1795935411194);
INSERT INTO public.hunyuan_events VALUES (9, '18ec71bdbbc4ae5716879a709d60', 1, 'progress', 'in_progress', 'denoising', 5, 0, 1, 1795935411197);
INSERT INTO public.hunyuan_events VALUES (10, '18ec71bdbbc4ae5716879a709d60', 1, 'progress', 'in_progress', 'decoding', 5, 0, 1, 1795935411200);
INSERT INTO public.hunyuan_events VALUES (11, '18ec71bdbbc4ae5716879a709d60', 1, 'progress', 'in_progress', 'publishing', 5, 0, 1, 1795935411211);
INSERT INTO public.hunyuan_events VALUES (12, '18ec71bdbbc4ae5716879a709d60', 1, 'state', 'completed', 'publishing', 5, 0, 1, 1795935411217);
INSERT INTO public.hunyuan_events VALUES (13, '18ec71bdc141004ffb9d807464e7', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935411225);
INSERT INTO public.hunyuan_events VALUES (14, '18ec71bdc141004ffb9d807464e7', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795935411237);
INSERT INTO public.hunyuan_events VALUES (15, '18ec71bdc141004ffb9d807464e7', 1, 'progress', 'in_progress', 'encoding', 0, 0, 1, 1795935411241);
INSERT INTO public.hunyuan_events VALUES (16, '18ec71bdc141004ffb9d807464e7', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795935411243);
INSERT INTO public.hunyuan_events VALUES (17, '18ec71bdc141004ffb9d807464e7', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795935411245);
INSERT INTO public.hunyuan_events VALUES (18, '18ec71bdc141004ffb9d807464e7', 1, 'progress', 'in_progress', 'denoising', 2, 0, 1, 1795935411249);
INSERT INTO public.hunyuan_events VALUES (19, '18ec71bdc141004ffb9d807464e7', 1, 'state', 'failed', 'denoising', 2, 0, 1, 1795935411257);
INSERT INTO public.hunyuan_events VALUES (20, '18ec71bdc3a68a694e03c38d49fe', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935411261);
INSERT INTO public.hunyuan_events VALUES (21, '18ec71bdc3a68a694e03c38d49fe', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795935411274);
INSERT INTO public.hunyuan_events VALUES (22, '18ec71bdc3a68a694e03c38d49fe', 1, 'progress', 'in_progress', 'encoding', 0, 0, 1, 1795935411277);
INSERT INTO public.hunyuan_events VALUES (23, '18ec71bdc3a68a694e03c38d49fe', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795935411282);
INSERT INTO public.hunyuan_events VALUES (24, '18ec71bdc3a68a694e03c38d49fe', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795935411283);
INSERT INTO public.hunyuan_events VALUES (25, '18ec71bdc3a68a694e03c38d49fe', 1, 'state', 'failed', 'denoising', 1, 0, 1, 1795935411284);
INSERT INTO public.hunyuan_events VALUES (26, '18ec71bdc3a68a694e03c38d49fe', 2, 'state', 'pending', 'queued', 1, 0, 1, 1795935411296);
INSERT INTO public.hunyuan_events VALUES (27, '18ec71bdc3a68a694e03c38d49fe', 2, 'state', 'pending', 'paused', 1, 0, 1, 1795935411309);
INSERT INTO public.hunyuan_events VALUES (28, '18ec71bdc6b91760d742c79a8340', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935411312);
INSERT INTO public.hunyuan_events VALUES (29, '18ec71bdc6b91760d742c79a8340', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795935411328);
INSERT INTO public.hunyuan_events VALUES (30, '18ec71bdc6b91760d742c79a8340', 1, 'progress', 'in_progress', 'encoding', 0, 0, 1, 1795935411334);
INSERT INTO public.hunyuan_events VALUES (31, '18ec71bdc6b91760d742c79a8340', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795935411335);
INSERT INTO public.hunyuan_events VALUES (32, '18ec71bdc6b91760d742c79a8340', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795935411336);
INSERT INTO public.hunyuan_events VALUES (33, '18ec71bdc6b91760d742c79a8340', 1, 'progress', 'in_progress', 'denoising', 2, 0, 1, 1795935411342);
INSERT INTO public.hunyuan_events VALUES (34, '18ec71bdc6b91760d742c79a8340', 1, 'state', 'pending', 'paused', 2, 0, 1, 1795935411344);
INSERT INTO public.hunyuan_events VALUES (35, '18ec71bdc8ea9fe6ece10c669867', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935411357);
INSERT INTO public.hunyuan_events VALUES (36, '18ec71bdc8ea9fe6ece10c669867', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795935411362);
INSERT INTO public.hunyuan_events VALUES (37, '18ec71bdc8ea9fe6ece10c669867', 1, 'progress', 'in_progress', 'encoding', 0, 0, 1, 1795935411367);
INSERT INTO public.hunyuan_events VALUES (38, '18ec71bdc8ea9fe6ece10c669867', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795935411370);
INSERT INTO public.hunyuan_events VALUES (39, '18ec71bdc8ea9fe6ece10c669867', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795935411374);
INSERT INTO public.hunyuan_events VALUES (40, '18ec71bdc8ea9fe6ece10c669867', 1, 'progress', 'in_progress', 'denoising', 2, 0, 1, 1795935411375);
INSERT INTO public.hunyuan_events VALUES (41, '18ec71bdc8ea9fe6ece10c669867', 1, 'progress', 'in_progress', 'denoising', 3, 0, 1, 1795935411376);
INSERT INTO public.hunyuan_events VALUES (42, '18ec71bdc8ea9fe6ece10c669867', 1, 'state', 'canceled', 'denoising', 3, 0, 1, 1795935411385);
INSERT INTO public.hunyuan_events VALUES (43, '18ec71bdcc38990dc40740fa28ca', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935411404);
INSERT INTO public.hunyuan_events VALUES (44, '18ec71bdcc38990dc40740fa28ca', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795935411417);
INSERT INTO public.hunyuan_events VALUES (45, '18ec71bdcc38990dc40740fa28ca', 1, 'progress', 'in_progress', 'encoding', 0, 0, 1, 1795935411422);
INSERT INTO public.hunyuan_events VALUES (46, '18ec71bdcc38990dc40740fa28ca', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795935411438);
INSERT INTO public.hunyuan_events VALUES (47, '18ec71bdcc38990dc40740fa28ca', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795935411449);
INSERT INTO public.hunyuan_events VALUES (48, '18ec71bdcc38990dc40740fa28ca', 1, 'state', 'in_progress', 'denoising', 1, 0, 1, 1795935411452);
INSERT INTO public.hunyuan_events VALUES (49, '18ec71bdcfc5185b77900fbe9598', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935411463);
INSERT INTO public.hunyuan_events VALUES (50, '18ec71bdcfc5185b77900fbe9598', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795935411473);
INSERT INTO public.hunyuan_events VALUES (51, '18ec71bdcfc5185b77900fbe9598', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795935411479);
INSERT INTO public.hunyuan_events VALUES (52, '18ec71bdcfc5185b77900fbe9598', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795935411485);
INSERT INTO public.hunyuan_events VALUES (53, '18ec71bdcfc5185b77900fbe9598', 1, 'progress', 'in_progress', 'denoising', 2, 0, 1, 1795935411486);
INSERT INTO public.hunyuan_events VALUES (54, '18ec71bdcfc5185b77900fbe9598', 1, 'progress', 'in_progress', 'denoising', 3, 0, 1, 1795935411487);
INSERT INTO public.hunyuan_events VALUES (55, '18ec71bdc3a68a694e03c38d49fe', 3, 'state', 'pending', 'queued', 1, 0, 1, 1795935411495);
INSERT INTO public.hunyuan_events VALUES (56, '18ec71bdd1e3ea5f4ba62a251119', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935411504);
INSERT INTO public.hunyuan_events VALUES (57, '18ec71bdd1e3ea5f4ba62a251119', 1, 'state', 'pending', 'paused', 0, 0, 1, 1795935411511);
INSERT INTO public.hunyuan_events VALUES (58, '18ec71bdd312940d247f1105258b', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935411519);
INSERT INTO public.hunyuan_events VALUES (59, '18ec71bdd312940d247f1105258b', 1, 'state', 'canceled', 'queued', 0, 0, 1, 1795935411525);
INSERT INTO public.hunyuan_events VALUES (60, '18ec71bdd419d73bfb77f0cd5f10', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935411536);
INSERT INTO public.hunyuan_events VALUES (61, '18ec71bdd419d73bfb77f0cd5f10', 1, 'state', 'pending', 'paused', 0, 0, 1, 1795935411542);
INSERT INTO public.hunyuan_events VALUES (62, '18ec71bdd419d73bfb77f0cd5f10', 1, 'state', 'canceled', 'paused', 0, 0, 1, 1795935411545);
INSERT INTO public.hunyuan_events VALUES (63, '18ec71bdd50e3eb3915f73a798e8', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935411558);
INSERT INTO public.hunyuan_events VALUES (64, '18ec71bdd5a772cae95b9bf2317b', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935411562);
INSERT INTO public.hunyuan_events VALUES (65, '18ec71bdd5fc227c3821c4bac40d', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935411567);
INSERT INTO public.hunyuan_events VALUES (66, '18ec71bdd753e20122bb3b1e919c', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935411593);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bdc141004ffb9d807464e7', 'ana', 'failed', 'demo', '{"prompt": "failed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 1, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', 1795935411219, 1795935411235, 1795935411249, 4000000000000, 1, NULL, 1, 0, NULL, 'denoising', 2, 0, 1, 1795935411245, false, NULL, false, false, 'broken', 'it broke', 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bdbbc4ae5716879a709d60', 'ana', 'completed', 'demo', '{"prompt": "completed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 1, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', 1795935411126, 1795935411164, 1795935411211, 4000000000000, 1, NULL, 1, 0, NULL, 'publishing', 5, 0, 1, 1795935411209, false, NULL, false, false, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bdc6b91760d742c79a8340', 'ana', 'pending', 'demo', '{"prompt": "paused with its draft", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 1, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', 1795935411310, 1795935411327, NULL, NULL, 1, NULL, 1, 0, NULL, 'paused', 2, 0, 1, 1795935411341, false, 2, true, false, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bdcc38990dc40740fa28ca', 'ana', 'in_progress', 'demo', '{"prompt": "pausing at step 1", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 1, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', 1795935411403, 1795935411416, NULL, NULL, 1, 'vm-f917f45c4720', 1, 0, NULL, 'denoising', 1, 0, 1, 1795935411439, false, NULL, false, true, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bdc8ea9fe6ece10c669867', 'ana', 'canceled', 'demo', '{"prompt": "canceled while it was rendered", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 1, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', 1795935411347, 1795935411361, 1795935411384, 5395935411384, 1, 'vm-f917f45c4720', 1, 0, NULL, 'denoising', 3, 0, 1, 1795935411375, false, NULL, false, false, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bdc3a68a694e03c38d49fe', 'ana', 'pending', 'demo', '{"prompt": "queued again by a retry", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 3, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', 1795935411259, 1795935411273, NULL, NULL, 3, NULL, 1, 0, NULL, 'queued', 1, 0, 1, NULL, false, NULL, false, false, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bdd312940d247f1105258b', 'ana', 'canceled', 'demo', '{"prompt": "canceled in the queue", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 0, 4, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', 1795935411517, NULL, 1795935411524, 5395935411524, 1, NULL, 0, 0, NULL, 'queued', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bdcfc5185b77900fbe9598', '', 'in_progress', 'demo', '{"prompt": "running at step 3", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 2, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', 1795935411462, 1795935411470, NULL, NULL, 1, 'vm-7d596166930f', 1, 0, NULL, 'denoising', 3, 0, 1, 1795935411487, false, NULL, false, false, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bdd1e3ea5f4ba62a251119', 'ana', 'pending', 'demo', '{"prompt": "paused in the queue", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 0, 4, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', 1795935411498, NULL, NULL, NULL, 1, NULL, 0, 0, NULL, 'paused', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bdd419d73bfb77f0cd5f10', 'ana', 'canceled', 'demo', '{"prompt": "canceled while it was paused", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 0, 4, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', 1795935411535, NULL, 1795935411545, 5395935411545, 1, NULL, 0, 0, NULL, 'paused', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bdd5a772cae95b9bf2317b', 'bo', 'pending', 'demo', '{"prompt": "queued", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 0, 3, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', 1795935411561, NULL, NULL, NULL, 1, NULL, 0, 0, NULL, 'queued', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bdd5fc227c3821c4bac40d', 'ana', 'pending', 'demo', '{"prompt": "queued before the others", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 5, 4, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', 1795935411566, NULL, NULL, NULL, 1, NULL, 0, 0, NULL, 'queued', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bdd50e3eb3915f73a798e8', 'ana', 'pending', 'demo', '{"prompt": "queued", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{"scene": "7"}', 0, 5, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', 1795935411551, NULL, NULL, NULL, 1, NULL, 0, 0, NULL, 'queued', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bdd753e20122bb3b1e919c', 'bo', 'pending', 'demo', '{"prompt": "queued after the others", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', -5, 4, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', 1795935411589, NULL, NULL, NULL, 1, NULL, 0, 0, NULL, 'queued', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_submissions VALUES ('ana:key', 'fingerprint', '18ec71bdd50e3eb3915f73a798e8');
SELECT pg_catalog.setval('public.hunyuan_events_number_seq', 66, true);
ALTER TABLE ONLY public.hunyuan_corrections
    ADD CONSTRAINT hunyuan_corrections_pkey PRIMARY KEY (basis, model, "precision", stage);
ALTER TABLE ONLY public.hunyuan_deliveries
    ADD CONSTRAINT hunyuan_deliveries_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.hunyuan_events
    ADD CONSTRAINT hunyuan_events_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.hunyuan_jobs
    ADD CONSTRAINT hunyuan_jobs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.hunyuan_secrets
    ADD CONSTRAINT hunyuan_secrets_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.hunyuan_submissions
    ADD CONSTRAINT hunyuan_submissions_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.hunyuan_workers
    ADD CONSTRAINT hunyuan_workers_pkey PRIMARY KEY (executor_id);
CREATE INDEX hunyuan_deliveries_due ON public.hunyuan_deliveries USING btree (next_attempt_at);
CREATE INDEX hunyuan_deliveries_job ON public.hunyuan_deliveries USING btree (job_id);
CREATE INDEX hunyuan_events_job ON public.hunyuan_events USING btree (job_id, number);
CREATE INDEX hunyuan_jobs_owner ON public.hunyuan_jobs USING btree (owner, state);
CREATE INDEX hunyuan_jobs_turn ON public.hunyuan_jobs USING btree (state, turn, id);
CREATE INDEX hunyuan_submissions_job ON public.hunyuan_submissions USING btree (job_id);
ALTER TABLE ONLY public.hunyuan_deliveries
    ADD CONSTRAINT hunyuan_deliveries_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.hunyuan_jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.hunyuan_events
    ADD CONSTRAINT hunyuan_events_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.hunyuan_jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.hunyuan_submissions
    ADD CONSTRAINT hunyuan_submissions_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.hunyuan_jobs(id) ON DELETE CASCADE;

