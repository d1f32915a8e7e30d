BEGIN TRANSACTION;
CREATE TABLE hunyuan_corrections (
	basis TEXT NOT NULL, 
	model TEXT NOT NULL, 
	precision TEXT NOT NULL, 
	stage TEXT NOT NULL, 
	factor FLOAT NOT NULL, 
	spread FLOAT NOT NULL, 
	PRIMARY KEY (basis, model, precision, stage)
);
CREATE TABLE hunyuan_deliveries (
	id TEXT NOT NULL, 
	job_id TEXT NOT NULL, 
	event TEXT NOT NULL, 
	job JSON NOT NULL, 
	state TEXT NOT NULL, 
	attempts INTEGER NOT NULL, 
	last_status INTEGER, 
	last_error TEXT, 
	created_at BIGINT NOT NULL, 
	next_attempt_at BIGINT, 
	last_attempt_at BIGINT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(job_id) REFERENCES hunyuan_jobs (id) ON DELETE CASCADE
);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71bd0d35d965baf434f146ca-started','18ec71bd0d35d965baf434f146ca','started','{"id": "18ec71bd0d35d965baf434f146ca", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "completed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935408198, "started_at": 1795935408219, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-e67a53b37af8", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935408219, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','delivered',1,204,NULL,1795935408227,NULL,1795935408379);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71bd0d35d965baf434f146ca-1-completed','18ec71bd0d35d965baf434f146ca','completed','{"id": "18ec71bd0d35d965baf434f146ca", "owner": "ana", "state": "completed", "model": "demo", "params": {"prompt": "completed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935408198, "started_at": 1795935408219, "completed_at": 1795935408273, "expires_at": 4000000000000, "run": 1, "executor_id": null, "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "publishing", "step": 5, "part": 0, "parts": 1, "progressed_at": 1795935408265, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',1,NULL,'no answer in time',1795935408275,1795935413393,1795935408379);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71bd11eb07e44da4ca23b758-started','18ec71bd11eb07e44da4ca23b758','started','{"id": "18ec71bd11eb07e44da4ca23b758", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "failed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935408277, "started_at": 1795935408282, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-e67a53b37af8", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935408282, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','failed',1,410,NULL,1795935408282,NULL,1795935408379);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71bd11eb07e44da4ca23b758-1-failed','18ec71bd11eb07e44da4ca23b758','failed','{"id": "18ec71bd11eb07e44da4ca23b758", "owner": "ana", "state": "failed", "model": "demo", "params": {"prompt": "failed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935408277, "started_at": 1795935408282, "completed_at": 1795935408287, "expires_at": 4000000000000, "run": 1, "executor_id": null, "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "denoising", "step": 2, "part": 0, "parts": 1, "progressed_at": 1795935408287, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": "broken", "error_message": "it broke", "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,NULL,NULL,1795935408288,1795935408288,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71bd12ca298adea83bfceba7-started','18ec71bd12ca298adea83bfceba7','started','{"id": "18ec71bd12ca298adea83bfceba7", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "queued again by a retry", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935408292, "started_at": 1795935408293, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-e67a53b37af8", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935408293, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,NULL,NULL,1795935408294,1795935408294,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71bd12ca298adea83bfceba7-1-failed','18ec71bd12ca298adea83bfceba7','failed','{"id": "18ec71bd12ca298adea83bfceba7", "owner": "ana", "state": "failed", "model": "demo", "params": {"prompt": "queued again by a retry", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935408292, "started_at": 1795935408293, "completed_at": 1795935408305, "expires_at": 4000000000000, "run": 1, "executor_id": null, "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "denoising", "step": 1, "part": 0, "parts": 1, "progressed_at": 1795935408301, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": "broken", "error_message": "it broke", "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,NULL,NULL,1795935408305,1795935408305,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71bd14d2b4dd00081912ce08-started','18ec71bd14d2b4dd00081912ce08','started','{"id": "18ec71bd14d2b4dd00081912ce08", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "paused with its draft", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935408326, "started_at": 1795935408328, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-e67a53b37af8", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935408328, "has_preview": false, "draft_steps": 2, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,NULL,NULL,1795935408333,1795935408333,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71bd16b0a78b3b2bcc7732ad-started','18ec71bd16b0a78b3b2bcc7732ad','started','{"id": "18ec71bd16b0a78b3b2bcc7732ad", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "canceled while it was rendered", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935408357, "started_at": 1795935408359, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-e67a53b37af8", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935408359, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,NULL,NULL,1795935408359,1795935408359,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71bd16b0a78b3b2bcc7732ad-1-canceled','18ec71bd16b0a78b3b2bcc7732ad','canceled','{"id": "18ec71bd16b0a78b3b2bcc7732ad", "owner": "ana", "state": "canceled", "model": "demo", "params": {"prompt": "canceled while it was rendered", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935408357, "started_at": 1795935408359, "completed_at": 1795935408373, "expires_at": 5395935408373, "run": 1, "executor_id": "vm-e67a53b37af8", "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "denoising", "step": 3, "part": 0, "parts": 1, "progressed_at": 1795935408370, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,NULL,NULL,1795935408373,1795935408373,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71bd191208d0e0858537a710-started','18ec71bd191208d0e0858537a710','started','{"id": "18ec71bd191208d0e0858537a710", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "pausing at step 1", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935408397, "started_at": 1795935408406, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-e67a53b37af8", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935408406, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,NULL,NULL,1795935408406,1795935408406,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71bd1ac4d9177349d32c0b85-started','18ec71bd1ac4d9177349d32c0b85','started','{"id": "18ec71bd1ac4d9177349d32c0b85", "owner": "", "state": "in_progress", "model": "demo", "params": {"prompt": "running at step 3", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 2, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935408425, "started_at": 1795935408427, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-2e86c0c5fae5", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935408427, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,NULL,NULL,1795935408427,1795935408427,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71bd1b5c64b85f5cf6b3768c-1-canceled','18ec71bd1b5c64b85f5cf6b3768c','canceled','{"id": "18ec71bd1b5c64b85f5cf6b3768c", "owner": "ana", "state": "canceled", "model": "demo", "params": {"prompt": "canceled in the queue", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 0, "turn": 4, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935408435, "started_at": null, "completed_at": 1795935408439, "expires_at": 5395935408439, "run": 1, "executor_id": null, "attempts": 0, "failed_starts": 0, "resumed_from_step": null, "stage": "queued", "step": 0, "part": 0, "parts": 1, "progressed_at": null, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,NULL,NULL,1795935408440,1795935408440,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71bd1ba98c1c12acf930964c-1-canceled','18ec71bd1ba98c1c12acf930964c','canceled','{"id": "18ec71bd1ba98c1c12acf930964c", "owner": "ana", "state": "canceled", "model": "demo", "params": {"prompt": "canceled while it was paused", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 0, "turn": 4, "remixed_from": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "created_at": 1795935408440, "started_at": null, "completed_at": 1795935408442, "expires_at": 5395935408442, "run": 1, "executor_id": null, "attempts": 0, "failed_starts": 0, "resumed_from_step": null, "stage": "paused", "step": 0, "part": 0, "parts": 1, "progressed_at": null, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,NULL,NULL,1795935408442,1795935408442,NULL);
CREATE TABLE hunyuan_events (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	job_id TEXT NOT NULL, 
	run INTEGER NOT NULL, 
	change TEXT NOT NULL, 
	state TEXT NOT NULL, 
	stage TEXT, 
	step INTEGER NOT NULL, 
	part INTEGER DEFAULT '0' NOT NULL, 
	parts INTEGER DEFAULT '1' NOT NULL, 
	at BIGINT NOT NULL, 
	FOREIGN KEY(job_id) REFERENCES hunyuan_jobs (id) ON DELETE CASCADE
);
INSERT INTO "hunyuan_events" VALUES(1,'18ec71bd0d35d965baf434f146ca',1,'state','pending','queued',0,0,1,1795935408201);
INSERT INTO "hunyuan_events" VALUES(2,'18ec71bd0d35d965baf434f146ca',1,'state','in_progress','loading',0,0,1,1795935408220);
INSERT INTO "hunyuan_events" VALUES(3,'18ec71bd0d35d965baf434f146ca',1,'progress','in_progress','encoding',0,0,1,1795935408234);
INSERT INTO "hunyuan_events" VALUES(4,'18ec71bd0d35d965baf434f146ca',1,'progress','in_progress','denoising',0,0,1,1795935408235);
INSERT INTO "hunyuan_events" VALUES(5,'18ec71bd0d35d965baf434f146ca',1,'progress','in_progress','denoising',1,0,1,1795935408238);
INSERT INTO "hunyuan_events" VALUES(6,'18ec71bd0d35d965baf434f146ca',1,'progress','in_progress','denoising',2,0,1,1795935408240);
INSERT INTO "hunyuan_events" VALUES(7,'18ec71bd0d35d965baf434f146ca',1,'progress','in_progress','denoising',3,0,1,1795935408245);
INSERT INTO "hunyuan_events" VALUES(8,'18ec71bd0d35d965baf434f146ca',1,'progress','in_progress','denoising',4,0,1,1795935408253);
INSERT INTO "hunyuan_events" VALUES(9,'18ec71bd0d35d965baf434f146ca',1,'progress','in_progress','denoising',5,0,1,1795935408257);
INSERT INTO "hunyuan_events" VALUES(10,'18ec71bd0d35d965baf434f146ca',1,'progress','in_progress','decoding',5,0,1,1795935408261);
INSERT INTO "hunyuan_events" VALUES(11,'18ec71bd0d35d965baf434f146ca',1,'progress','in_progress','publishing',5,0,1,1795935408265);
INSERT INTO "hunyuan_events" VALUES(12,'18ec71bd0d35d965baf434f146ca',1,'state','completed','publishing',5,0,1,1795935408274);
INSERT INTO "hunyuan_events" VALUES(13,'18ec71bd11eb07e44da4ca23b758',1,'state','pending','queued',0,0,1,1795935408277);
INSERT INTO "hunyuan_events" VALUES(14,'18ec71bd11eb07e44da4ca23b758',1,'state','in_progress','loading',0,0,1,1795935408282);
INSERT INTO "hunyuan_events" VALUES(15,'18ec71bd11eb07e44da4ca23b758',1,'progress','in_progress','encoding',0,0,1,1795935408285);
INSERT INTO "hunyuan_events" VALUES(16,'18ec71bd11eb07e44da4ca23b758',1,'progress','in_progress','denoising',0,0,1,1795935408286);
INSERT INTO "hunyuan_events" VALUES(17,'18ec71bd11eb07e44da4ca23b758',1,'progress','in_progress','denoising',1,0,1,1795935408286);
INSERT INTO "hunyuan_events" VALUES(18,'18ec71bd11eb07e44da4ca23b758',1,'progress','in_progress','denoising',2,0,1,1795935408287);
INSERT INTO "hunyuan_events" VALUES(19,'18ec71bd11eb07e44da4ca23b758',1,'state','failed','denoising',2,0,1,1795935408288);
INSERT INTO "hunyuan_events" VALUES(20,'18ec71bd12ca298adea83bfceba7',1,'state','pending','queued',0,0,1,1795935408292);
INSERT INTO "hunyuan_events" VALUES(21,'18ec71bd12ca298adea83bfceba7',1,'state','in_progress','loading',0,0,1,1795935408294);
INSERT INTO "hunyuan_events" VALUES(22,'18ec71bd12ca298adea83bfceba7',1,'progress','in_progress','encoding',0,0,1,1795935408295);
INSERT INTO "hunyuan_events" VALUES(23,'18ec71bd12ca298adea83bfceba7',1,'progress','in_progress','denoising',0,0,1,1795935408297);
INSERT INTO "hunyuan_events" VALUES(24,'18ec71bd12ca298adea83bfceba7',1,'progress','in_progress','denoising',1,0,1,1795935408301);
INSERT INTO "hunyuan_events" VALUES(25,'18ec71bd12ca298adea83bfceba7',1,'state','failed','denoising',1,0,1,1795935408305);
INSERT INTO "hunyuan_events" VALUES(26,'18ec71bd12ca298adea83bfceba7',2,'state','pending','queued',1,0,1,1795935408310);
INSERT INTO "hunyuan_events" VALUES(27,'18ec71bd12ca298adea83bfceba7',2,'state','pending','paused',1,0,1,1795935408315);
INSERT INTO "hunyuan_events" VALUES(28,'18ec71bd14d2b4dd00081912ce08',1,'state','pending','queued',0,0,1,1795935408326);
INSERT INTO "hunyuan_events" VALUES(29,'18ec71bd14d2b4dd00081912ce08',1,'state','in_progress','loading',0,0,1,1795935408333);
INSERT INTO "hunyuan_events" VALUES(30,'18ec71bd14d2b4dd00081912ce08',1,'progress','in_progress','encoding',0,0,1,1795935408337);
INSERT INTO "hunyuan_events" VALUES(31,'18ec71bd14d2b4dd00081912ce08',1,'progress','in_progress','denoising',0,0,1,1795935408341);
INSERT INTO "hunyuan_events" VALUES(32,'18ec71bd14d2b4dd00081912ce08',1,'progress','in_progress','denoising',1,0,1,1795935408345);
INSERT INTO "hunyuan_events" VALUES(33,'18ec71bd14d2b4dd00081912ce08',1,'progress','in_progress','denoising',2,0,1,1795935408353);
INSERT INTO "hunyuan_events" VALUES(34,'18ec71bd14d2b4dd00081912ce08',1,'state','pending','paused',2,0,1,1795935408355);
INSERT INTO "hunyuan_events" VALUES(35,'18ec71bd16b0a78b3b2bcc7732ad',1,'state','pending','queued',0,0,1,1795935408357);
INSERT INTO "hunyuan_events" VALUES(36,'18ec71bd16b0a78b3b2bcc7732ad',1,'state','in_progress','loading',0,0,1,1795935408360);
INSERT INTO "hunyuan_events" VALUES(37,'18ec71bd16b0a78b3b2bcc7732ad',1,'progress','in_progress','encoding',0,0,1,1795935408362);
INSERT INTO "hunyuan_events" VALUES(38,'18ec71bd16b0a78b3b2bcc7732ad',1,'progress','in_progress','denoising',0,0,1,1795935408364);
INSERT INTO "hunyuan_events" VALUES(39,'18ec71bd16b0a78b3b2bcc7732ad',1,'progress','in_progress','denoising',1,0,1,1795935408365);
INSERT INTO "hunyuan_events" VALUES(40,'18ec71bd16b0a78b3b2bcc7732ad',1,'progress','in_progress','denoising',2,0,1,1795935408365);
INSERT INTO "hunyuan_events" VALUES(41,'18ec71bd16b0a78b3b2bcc7732ad',1,'progress','in_progress','denoising',3,0,1,1795935408371);
INSERT INTO "hunyuan_events" VALUES(42,'18ec71bd16b0a78b3b2bcc7732ad',1,'state','canceled','denoising',3,0,1,1795935408374);
INSERT INTO "hunyuan_events" VALUES(43,'18ec71bd191208d0e0858537a710',1,'state','pending','queued',0,0,1,1795935408397);
INSERT INTO "hunyuan_events" VALUES(44,'18ec71bd191208d0e0858537a710',1,'state','in_progress','loading',0,0,1,1795935408407);
INSERT INTO "hunyuan_events" VALUES(45,'18ec71bd191208d0e0858537a710',1,'progress','in_progress','encoding',0,0,1,1795935408409);
INSERT INTO "hunyuan_events" VALUES(46,'18ec71bd191208d0e0858537a710',1,'progress','in_progress','denoising',0,0,1,1795935408413);
INSERT INTO "hunyuan_events" VALUES(47,'18ec71bd191208d0e0858537a710',1,'progress','in_progress','denoising',1,0,1,1795935408414);
INSERT INTO "hunyuan_events" VALUES(48,'18ec71bd191208d0e0858537a710',1,'state','in_progress','denoising',1,0,1,1795935408421);
INSERT INTO "hunyuan_events" VALUES(49,'18ec71bd1ac4d9177349d32c0b85',1,'state','pending','queued',0,0,1,1795935408426);
INSERT INTO "hunyuan_events" VALUES(50,'18ec71bd1ac4d9177349d32c0b85',1,'state','in_progress','loading',0,0,1,1795935408428);
INSERT INTO "hunyuan_events" VALUES(51,'18ec71bd1ac4d9177349d32c0b85',1,'progress','in_progress','denoising',0,0,1,1795935408429);
INSERT INTO "hunyuan_events" VALUES(52,'18ec71bd1ac4d9177349d32c0b85',1,'progress','in_progress','denoising',1,0,1,1795935408429);
INSERT INTO "hunyuan_events" VALUES(53,'18ec71bd1ac4d9177349d32c0b85',1,'progress','in_progress','denoising',2,0,1,1795935408430);
INSERT INTO "hunyuan_events" VALUES(54,'18ec71bd1ac4d9177349d32c0b85',1,'progress','in_progress','denoising',3,0,1,1795935408430);
INSERT INTO "hunyuan_events" VALUES(55,'18ec71bd12ca298adea83bfceba7',3,'state','pending','queued',1,0,1,1795935408432);
INSERT INTO "hunyuan_events" VALUES(56,'18ec71bd1b392d28fa9eab3ff483',1,'state','pending','queued',0,0,1,1795935408433);
INSERT INTO "hunyuan_events" VALUES(57,'18ec71bd1b392d28fa9eab3ff483',1,'state','pending','paused',0,0,1,1795935408435);
INSERT INTO "hunyuan_events" VALUES(58,'18ec71bd1b5c64b85f5cf6b3768c',1,'state','pending','queued',0,0,1,1795935408435);
INSERT INTO "hunyuan_events" VALUES(59,'18ec71bd1b5c64b85f5cf6b3768c',1,'state','canceled','queued',0,0,1,1795935408440);
INSERT INTO "hunyuan_events" VALUES(60,'18ec71bd1ba98c1c12acf930964c',1,'state','pending','queued',0,0,1,1795935408441);
INSERT INTO "hunyuan_events" VALUES(61,'18ec71bd1ba98c1c12acf930964c',1,'state','pending','paused',0,0,1,1795935408442);
INSERT INTO "hunyuan_events" VALUES(62,'18ec71bd1ba98c1c12acf930964c',1,'state','canceled','paused',0,0,1,1795935408443);
INSERT INTO "hunyuan_events" VALUES(63,'18ec71bd1bda146e9917770b02e5',1,'state','pending','queued',0,0,1,1795935408444);
INSERT INTO "hunyuan_events" VALUES(64,'18ec71bd1bf332a69c48aebf2766',1,'state','pending','queued',0,0,1,1795935408445);
INSERT INTO "hunyuan_events" VALUES(65,'18ec71bd1c05d48bc97ae1b53208',1,'state','pending','queued',0,0,1,1795935408447);
INSERT INTO "hunyuan_events" VALUES(66,'18ec71bd1c2b2b6adc77dff1559c',1,'state','pending','queued',0,0,1,1795935408449);
CREATE TABLE hunyuan_jobs (
	id TEXT NOT NULL, 
	owner TEXT DEFAULT '' NOT NULL, 
	state TEXT NOT NULL, 
	model TEXT NOT NULL, 
	params JSON NOT NULL, 
	metadata JSON NOT NULL, 
	priority INTEGER NOT NULL, 
	turn INTEGER DEFAULT '0' NOT NULL, 
	remixed_from TEXT, 
	webhook_url TEXT, 
	webhook_events JSON, 
	created_at BIGINT NOT NULL, 
	started_at BIGINT, 
	completed_at BIGINT, 
	expires_at BIGINT, 
	run INTEGER NOT NULL, 
	executor_id TEXT, 
	attempts INTEGER NOT NULL, 
	failed_starts INTEGER NOT NULL, 
	resumed_from_step INTEGER, 
	stage TEXT, 
	step INTEGER NOT NULL, 
	part INTEGER DEFAULT '0' NOT NULL, 
	parts INTEGER DEFAULT '1' NOT NULL, 
	progressed_at BIGINT, 
	has_preview BOOLEAN NOT NULL, 
	draft_steps INTEGER, 
	has_draft BOOLEAN DEFAULT 0 NOT NULL, 
	pausing BOOLEAN DEFAULT 0 NOT NULL, 
	error_code TEXT, 
	error_message TEXT, 
	clips FLOAT NOT NULL, 
	evaluations FLOAT DEFAULT '0' NOT NULL, 
	denoise_flops FLOAT NOT NULL, 
	attention_flops FLOAT DEFAULT '0' NOT NULL, 
	decode_flops FLOAT NOT NULL, 
	pixels FLOAT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "hunyuan_jobs" VALUES('18ec71bd0d35d965baf434f146ca','ana','completed','demo','{"prompt": "completed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,1,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]',1795935408198,1795935408219,1795935408273,4000000000000,1,NULL,1,0,NULL,'publishing',5,0,1,1795935408265,0,NULL,0,0,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71bd11eb07e44da4ca23b758','ana','failed','demo','{"prompt": "failed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,1,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]',1795935408277,1795935408282,1795935408287,4000000000000,1,NULL,1,0,NULL,'denoising',2,0,1,1795935408287,0,NULL,0,0,'broken','it broke',1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71bd12ca298adea83bfceba7','ana','pending','demo','{"prompt": "queued again by a retry", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,3,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]',1795935408292,1795935408293,NULL,NULL,3,NULL,1,0,NULL,'queued',1,0,1,NULL,0,NULL,0,0,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71bd14d2b4dd00081912ce08','ana','pending','demo','{"prompt": "paused with its draft", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,1,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]',1795935408326,1795935408328,NULL,NULL,1,NULL,1,0,NULL,'paused',2,0,1,1795935408352,0,2,1,0,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71bd16b0a78b3b2bcc7732ad','ana','canceled','demo','{"prompt": "canceled while it was rendered", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,1,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]',1795935408357,1795935408359,1795935408373,5395935408373,1,'vm-e67a53b37af8',1,0,NULL,'denoising',3,0,1,1795935408370,0,NULL,0,0,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71bd191208d0e0858537a710','ana','in_progress','demo','{"prompt": "pausing at step 1", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,1,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]',1795935408397,1795935408406,NULL,NULL,1,'vm-e67a53b37af8',1,0,NULL,'denoising',1,0,1,1795935408413,0,NULL,0,1,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71bd1ac4d9177349d32c0b85','','in_progress','demo','{"prompt": "running at step 3", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,2,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]',1795935408425,1795935408427,NULL,NULL,1,'vm-2e86c0c5fae5',1,0,NULL,'denoising',3,0,1,1795935408430,0,NULL,0,0,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71bd1b392d28fa9eab3ff483','ana','pending','demo','{"prompt": "paused in the queue", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',0,4,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]',1795935408433,NULL,NULL,NULL,1,NULL,0,0,NULL,'paused',0,0,1,NULL,0,NULL,0,0,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71bd1b5c64b85f5cf6b3768c','ana','canceled','demo','{"prompt": "canceled in the queue", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',0,4,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]',1795935408435,NULL,1795935408439,5395935408439,1,NULL,0,0,NULL,'queued',0,0,1,NULL,0,NULL,0,0,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71bd1ba98c1c12acf930964c','ana','canceled','demo','{"prompt": "canceled while it was paused", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',0,4,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]',1795935408440,NULL,1795935408442,5395935408442,1,NULL,0,0,NULL,'paused',0,0,1,NULL,0,NULL,0,0,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71bd1bda146e9917770b02e5','ana','pending','demo','{"prompt": "queued", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{"scene": "7"}',0,5,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]',1795935408444,NULL,NULL,NULL,1,NULL,0,0,NULL,'queued',0,0,1,NULL,0,NULL,0,0,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71bd1bf332a69c48aebf2766','bo','pending','demo','{"prompt": "queued", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',0,3,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]',1795935408445,NULL,NULL,NULL,1,NULL,0,0,NULL,'queued',0,0,1,NULL,0,NULL,0,0,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71bd1c05d48bc97ae1b53208','ana','pending','demo','{"prompt": "queued before the others", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',5,4,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]',1795935408446,NULL,NULL,NULL,1,NULL,0,0,NULL,'queued',0,0,1,NULL,0,NULL,0,0,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71bd1c2b2b6adc77dff1559c','bo','pending','demo','{"prompt": "queued after the others", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',-5,4,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]',1795935408449,NULL,NULL,NULL,1,NULL,0,0,NULL,'queued',0,0,1,NULL,0,NULL,0,0,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
CREATE TABLE hunyuan_secrets (
	name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE hunyuan_submissions (
	"key" TEXT NOT NULL, 
	fingerprint TEXT NOT NULL, 
	job_id TEXT NOT NULL, 
	PRIMARY KEY ("key"), 
	FOREIGN KEY(job_id) REFERENCES hunyuan_jobs (id) ON DELETE CASCADE
);
INSERT INTO "hunyuan_submissions" VALUES('ana:key','fingerprint','18ec71bd1bda146e9917770b02e5');
CREATE TABLE hunyuan_workers (
	executor_id TEXT NOT NULL, 
	beat_at BIGINT NOT NULL, 
	profile JSON, 
	PRIMARY KEY (executor_id)
);
CREATE INDEX hunyuan_jobs_turn ON hunyuan_jobs (state, turn, id);
CREATE INDEX hunyuan_jobs_owner ON hunyuan_jobs (owner, state);
CREATE INDEX hunyuan_events_job ON hunyuan_events (job_id, number);
CREATE INDEX hunyuan_deliveries_due ON hunyuan_deliveries (next_attempt_at);
CREATE INDEX hunyuan_deliveries_job ON hunyuan_deliveries (job_id);
CREATE INDEX hunyuan_submissions_job ON hunyuan_submissions (job_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('hunyuan_events',66);
COMMIT;
